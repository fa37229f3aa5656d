import type { Source } from "./sources.ts";

/** Rooms from the ground up. A file imports from its own storey or from below, never from above. */
const STOREYS: readonly (readonly string[])[] = [
  ["shared"],
  ["observability"],
  ["config"],
  ["db"],
  ["queue"],
  ["agents"],
  ["sandboxes"],
  ["auth"],
  ["api"],
  ["lifecycle"],
  ["runs"],
  ["sessions", "prompts", "messages", "dead-letters", "live", "webhooks", "backup", "me"],
  ["server", "tasks"],
  ["app", "doctor"],
  ["cli"],
  ["main.ts"],
];
const FEATURES = STOREYS.findIndex((rooms) => rooms.includes("sessions"));
const MAX_LINES = 300;

/** What may be made while a module loads: plain values that hold nothing open. */
const HARMLESS =
  /^(Set|Map|WeakMap|WeakSet|URL|RegExp|TextEncoder|TextDecoder|AsyncLocalStorage|Error|Date|Intl\.\w+|Uint8Array)$/;

type Rule = (source: Source, storey: number) => readonly string[];

const room = (path: string) => path.split("/")[0] ?? path;
const storeyOf = (path: string) => STOREYS.findIndex((rooms) => rooms.includes(room(path)));
const isModel = (path: string) => /(^|[/-])(routes|model)\.ts$/.test(path) || /^(server|api)\//.test(path);
const importing = (source: Source, pattern: RegExp) =>
  source.imports.map((one) => one.specifier).filter((specifier) => pattern.test(specifier));

/** The design's arrows. Each rule names what a file does against it. */
export const RULES: Readonly<Record<string, Rule>> = {
  "every file is in a room of the design": (_source, storey) =>
    storey < 0 ? ["is in no known room; put it in one, or add the room to the design and here"] : [],

  "imports point down": ({ imports }, storey) =>
    imports
      .filter((one) => one.file !== undefined && storeyOf(one.file) > storey && storey >= 0)
      .map((one) => `imports ${one.file}, which is above it`),

  "server and tasks never import each other": ({ path, imports }) => {
    const other = { server: "tasks", tasks: "server" }[room(path)];
    return imports.filter((one) => one.file && room(one.file) === other).map((one) => `imports ${one.file}`);
  },

  "shared/errors.ts imports nothing": ({ path, imports }) =>
    path === "shared/errors.ts" ? imports.map((one) => `imports ${one.specifier}`) : [],

  "features and what is below take only types from config/": ({ path, imports }, storey) =>
    storey <= FEATURES &&
    room(path) !== "config" &&
    imports.some((one) => one.file?.startsWith("config/") && !one.typeOnly)
      ? ["imports a value from config/; take it as an argument"]
      : [],

  "Elysia appears only in server/, api/, auth/guard.ts, routes.ts and model.ts; its JWT in auth/local-issuer.ts":
    (source) => [
      ...(isModel(source.path) || source.path === "auth/guard.ts"
        ? []
        : importing(source, /^elysia(\/|$)|^@elysiajs\/(?!jwt)/)),
      ...(source.path === "auth/local-issuer.ts" ? [] : importing(source, /^@elysiajs\/jwt/)),
    ],

  "only store files, db/, lifecycle/, queue/outbox.ts and the claim and writer of runs/ write SQL": (
    source,
  ) =>
    /(^|[/-])store\.ts$|^(db|lifecycle)\/|^queue\/outbox\.ts$|^runs\/(claim|writer)\.ts$/.test(source.path)
      ? []
      : importing(source, /^(drizzle-orm|postgres$|@electric-sql\/)/),

  "whose session it is, is asked in lifecycle/ownership.ts alone": ({ path, code }) =>
    path === "lifecycle/ownership.ts"
      ? []
      : found(code, /\beq\(session\.userId\b|\buser_id = \$\{[^`]*?deleted_at is null/g),

  "statuses and dispatched_at are written in lifecycle/ alone": ({ path, code }) =>
    room(path) === "lifecycle" ? [] : statusWrites(code),

  "NOTIFY is sent by lifecycle/ and queue/ alone": ({ path, code }) =>
    ["lifecycle", "queue"].includes(room(path)) ? [] : found(code, /\bpg_notify\b|\bnotify [a-z_]+/gi),

  "the environment is read only in config/": ({ path, code }) =>
    room(path) === "config"
      ? []
      : [...code.matchAll(/\b(process|Bun|import\.meta)\.env\b/g)].map((one) => `reads ${one[0]}`),

  "secrets are compared in shared/secret.ts": ({ path, code }) =>
    path !== "shared/secret.ts" &&
    /\btimingSafeEqual\b|\.reveal\(\) *[!=]==?|[!=]== *[\w.]+\.reveal\(\)/.test(code)
      ? ["compares by itself; use Secret.equals"]
      : [],

  [`no file is longer than ${MAX_LINES} lines`]: ({ text }) => {
    const lines = text.trimEnd().split("\n").length;
    return lines > MAX_LINES ? [`has ${lines} lines`] : [];
  },

  "nothing happens at import": ({ path, code }) =>
    path === "main.ts"
      ? []
      : withoutTemplates(code)
          .split("\n")
          .flatMap((line, index) => sideEffect(line, index + 1)),
};

const found = (code: string, pattern: RegExp) =>
  [...code.matchAll(pattern)].map(([text]) => `has ${text.replace(/\s+/g, " ")}`);

const STATUS_FIELDS =
  /\b(inboxStatus|sessionStatus|cancellationStatus|cancelledAt|cancelledBy|dispatchedAt|cancelRequestedAt)\b/;
const STATUS_COLUMNS =
  /\b(inbox_status|session_status|cancellation_status|cancelled_at|cancelled_by|dispatched_at|cancel_requested_at)\s*=(?!=)/;

/** What an `update … set` of Drizzle's or of SQL's own does to statuses; on prompts, `status` is one of them. */
function statusWrites(code: string): string[] {
  const drizzle = [...code.matchAll(/\.update\((\w+)\)\s*\.set\(/g)].flatMap((call) => {
    const values = argument(code, call.index + call[0].length);
    const field = STATUS_FIELDS.exec(values)?.[1] ?? (call[1] === "prompt" && /\bstatus:/.exec(values)?.[0]);
    return field ? [`sets ${field}`] : [];
  });
  const raw = [...code.matchAll(/\bupdate (prompt|session)\b[^`]*?\bset\b([^`]*)/g)].flatMap((statement) => {
    // The condition may ask for what the statement may not write.
    const [values = ""] = (statement[2] ?? "").split(/\b(?:where|from)\b/);
    const column =
      STATUS_COLUMNS.exec(values)?.[1] ?? (statement[1] === "prompt" && /\bstatus =/.exec(values)?.[0]);
    return column ? [`sets ${column}`] : [];
  });
  return [...drizzle, ...raw];
}

/** A call's arguments, from behind its opening parenthesis. */
function argument(code: string, start: number): string {
  let depth = 1;
  let end = start;
  for (; end < code.length && depth > 0; end += 1)
    depth += code[end] === "(" ? 1 : code[end] === ")" ? -1 : 0;
  return code.slice(start, end);
}

/** Text inside template literals is text, at whatever column it stands; its lines stay, empty. */
function withoutTemplates(code: string): string {
  return code.replace(/`(?:\\.|[^`\\])*`/gs, (literal) => literal.replace(/[^\n]/g, ""));
}

/** Looks at lines without indentation only: with Biome's format, those are a module's own statements. */
function sideEffect(line: string, number: number): string[] {
  const made = /^(?:export )?(?:const|let|var) [^=]*= *(?:await )?new ([\w.]+)/.exec(line)?.[1];
  if (made && !HARMLESS.test(made)) return [`line ${number} makes a ${made}: ${line.trim()}`];
  if (
    /^(?:export )?(?:const|let|var) [^=]*= *(?:await\b|(?:setInterval|setTimeout|Bun\.serve|fetch)\()/.test(
      line,
    )
  )
    return [`line ${number}: ${line.trim()}`];
  if (/^(?:await|void|if|for|while|try|switch|new)\b|^[\w.]+\(|^[\w.[\]"]+ [-+*]?=[^=>]/.test(line))
    return [`line ${number} does something: ${line.trim()}`];
  if (/^import ["']/.test(line)) return [`line ${number} imports for a side effect: ${line.trim()}`];
  return [];
}

/** Everything that a rule finds wrong, one line each. */
export function violationsOf(rule: Rule, sources: readonly Source[]): string[] {
  return sources.flatMap((source) =>
    rule(source, storeyOf(source.path)).map((problem) => `src/${source.path}: ${problem}`),
  );
}
