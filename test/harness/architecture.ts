import { importsName, type Source } from "./sources.ts";

/** Rooms by layer, the lowest first. A file imports from its own layer or a lower one. */
const LAYERS: readonly (readonly string[])[] = [
  ["shared"],
  ["observability"],
  ["config"],
  ["db"],
  ["queue"],
  ["egress"],
  ["forges"],
  ["spend"],
  ["agents"],
  ["driver"],
  ["sandboxes"],
  ["auth"],
  ["api"],
  ["lifecycle"],
  ["fleet", "memory", "effects", "attachments", "projects"],
  ["provenance"],
  ["runs"],
  ["review"],
  [
    "sessions",
    "prompts",
    "messages",
    "permissions",
    "comments",
    "pull-requests",
    "repositories",
    "dead-letters",
    "live",
    "webhooks",
    "audit",
    "backup",
    "me",
    "usage",
    "web-sessions",
    "system",
  ],
  ["server", "tasks"],
  ["app", "doctor", "sandbox-check"],
  ["cli"],
  ["main.ts"],
];
const FEATURES = LAYERS.findIndex((rooms) => rooms.includes("sessions"));
const MAX_LINES = 300;

/** Classes of which a module may make instances while it loads: plain values that hold no resource. */
const HARMLESS =
  /^(Set|Map|WeakMap|WeakSet|URL|RegExp|TextEncoder|TextDecoder|AsyncLocalStorage|Error|Date|Intl\.\w+|Uint8Array)$/;

/** Exports for others than src/: docs/ERRORS.md is compared with the codes, and .ci/ puts the console there. */
const EXPORTED_FOR_OTHERS = new Set([
  "config/mistakes.ts CONFIG_CODES",
  "shared/errors.ts ERROR_CODES",
  "server/console-files.ts CONSOLE_FOLDER",
  "server/console-files.ts CONSOLE_LIST",
]);

/** Says what a file does wrong. `sources` are all files of src/. */
type Rule = (source: Source, layer: number, sources: readonly Source[]) => readonly string[];

const room = (path: string) => path.split("/")[0] ?? path;
const layerOf = (path: string) => LAYERS.findIndex((rooms) => rooms.includes(room(path)));
const isModel = (path: string) => /(^|[/-])(routes|model)\.ts$/.test(path) || /^(server|api)\//.test(path);
const importing = (source: Source, pattern: RegExp) =>
  source.imports.map((one) => one.specifier).filter((specifier) => pattern.test(specifier));

/** The rules of the design. Each returns what a file does against it. */
export const RULES: Readonly<Record<string, Rule>> = {
  "every file is in a room of the design": (_source, layer) =>
    layer < 0 ? ["is in no known room; move it into one, or add the room to the design and here"] : [],

  "imports point down": ({ imports }, layer) =>
    imports
      .filter((one) => one.file !== undefined && layerOf(one.file) > layer && layer >= 0)
      .map((one) => `imports ${one.file} from a higher layer`),

  "server and tasks never import each other": ({ path, imports }) => {
    const other = { server: "tasks", tasks: "server" }[room(path)];
    return imports.filter((one) => one.file && room(one.file) === other).map((one) => `imports ${one.file}`);
  },

  "shared/errors.ts imports nothing": ({ path, imports }) =>
    path === "shared/errors.ts" ? imports.map((one) => `imports ${one.specifier}`) : [],

  "features and the layers below import only types from config/": ({ path, imports }, layer) =>
    layer <= FEATURES &&
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

  "the owner of a session is checked in lifecycle/ownership.ts alone": ({ path, code }) =>
    path === "lifecycle/ownership.ts"
      ? []
      : found(code, /\beq\(session\.userId\b|\buser_id = \$\{[^`]*?deleted_at is null/g),

  "statuses and dispatched_at are written in lifecycle/ alone": ({ path, code }) =>
    room(path) === "lifecycle" ? [] : [...statusWrites(code), ...found(code, /\b(session|prompt)After\b/g)],

  "NOTIFY is sent by lifecycle/ and queue/ alone": ({ path, code }) =>
    ["lifecycle", "queue"].includes(room(path)) ? [] : found(code, /\bpg_notify\b|\bnotify [a-z_]+/gi),

  "the environment is read only in config/": ({ path, code }) =>
    room(path) === "config"
      ? []
      : [...code.matchAll(/\b(process|Bun|import\.meta)\.env\b/g)].map((one) => `reads ${one[0]}`),

  "every program is given an environment, or Bun passes on the one that the service started with": ({
    path,
    code,
  }) =>
    // Its attacks run where no secret is.
    room(path) === "sandbox-check"
      ? []
      : [...code.matchAll(/\bBun\.spawn(?:Sync)?\(/g)]
          .filter((call) => !/\benv\b/.test(argument(code, call.index + call[0].length)))
          .map((call) => `${call[0]}…) has no env`),

  "servers complete the URLs of their requests": ({ code }) =>
    [...code.matchAll(/\bBun\.serve\(/g)]
      .map((call) => argument(code, call.index + call[0].length))
      .filter((options) => !/\bfetch: \(\) =>|\bcompleteUrl\(request\)/.test(options))
      .map(() => "serves requests without completeUrl"),

  "secrets are compared in shared/secret.ts": ({ path, code }) =>
    path !== "shared/secret.ts" &&
    /\btimingSafeEqual\b|\.reveal\(\) *[!=]==?|[!=]== *[\w.]+\.reveal\(\)/.test(code)
      ? ["compares by itself; use Secret.equals"]
      : [],

  [`no file is longer than ${MAX_LINES} lines`]: ({ text }) => {
    const lines = text.trimEnd().split("\n").length;
    return lines > MAX_LINES ? [`has ${lines} lines`] : [];
  },

  "nothing is exported that only tests use": ({ path, exports }, _layer, sources) =>
    exports
      .filter((name) => !EXPORTED_FOR_OTHERS.has(`${path} ${name}`))
      .filter((name) => !sources.some((other) => importsName(other, path, name)))
      .map((name) => `exports ${name}, which no other file of src/ imports`),

  "modules have no side effects when imported": ({ path, code }) =>
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

/** Status columns that an insert or update of Drizzle or an update of SQL writes; for prompts, `status` is one. */
function statusWrites(code: string): string[] {
  const drizzle = [...code.matchAll(/\.(?:update|insert)\((\w+)\)\s*\.(?:set|values)\(/g)].flatMap((call) => {
    const values = argument(code, call.index + call[0].length);
    const field = STATUS_FIELDS.exec(values)?.[1] ?? (call[1] === "prompt" && /\bstatus:/.exec(values)?.[0]);
    return field ? [`sets ${field}`] : [];
  });
  const raw = [...code.matchAll(/\bupdate (prompt|session)\b[^`]*?\bset\b([^`]*)/g)].flatMap((statement) => {
    // The condition may read statuses.
    const [values = ""] = (statement[2] ?? "").split(/\b(?:where|from)\b/);
    const column =
      STATUS_COLUMNS.exec(values)?.[1] ?? (statement[1] === "prompt" && /\bstatus =/.exec(values)?.[0]);
    return column ? [`sets ${column}`] : [];
  });
  return [...drizzle, ...raw];
}

/** The arguments of a call. @param start the index after its opening parenthesis. */
function argument(code: string, start: number): string {
  let depth = 1;
  let end = start;
  for (; end < code.length && depth > 0; end += 1)
    depth += code[end] === "(" ? 1 : code[end] === ")" ? -1 : 0;
  return code.slice(start, end);
}

/** Empties template literals and keeps their line breaks: their text is not code, although it may start in column 1. */
function withoutTemplates(code: string): string {
  return code.replace(/`(?:\\.|[^`\\])*`/gs, (literal) => literal.replace(/[^\n]/g, ""));
}

/** Examines lines without indentation only: as Biome formats the code, those are the statements of the module. */
function sideEffect(line: string, number: number): string[] {
  const made = /^(?:export )?(?:const|let|var) [^=]*= *(?:await )?new ([\w.]+)/.exec(line)?.[1];
  if (made && !HARMLESS.test(made)) return [`line ${number} creates a ${made}: ${line.trim()}`];
  if (
    /^(?:export )?(?:const|let|var) [^=]*= *(?:await\b|(?:setInterval|setTimeout|Bun\.serve|fetch)\()/.test(
      line,
    )
  )
    return [`line ${number}: ${line.trim()}`];
  if (/^(?:await|void|if|for|while|try|switch|new)\b|^[\w.]+\(|^[\w.[\]"]+ [-+*]?=[^=>]/.test(line))
    return [`line ${number} has an effect: ${line.trim()}`];
  if (/^import ["']/.test(line)) return [`line ${number} imports for a side effect: ${line.trim()}`];
  return [];
}

/** The violations of a rule, one line each. */
export function violationsOf(rule: Rule, sources: readonly Source[]): string[] {
  return sources.flatMap((source) =>
    rule(source, layerOf(source.path), sources).map((problem) => `src/${source.path}: ${problem}`),
  );
}
