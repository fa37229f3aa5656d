import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { RULES, violationsOf } from "./harness/architecture.ts";
import { findCycle, findRoomCycle, parseSource, readSources } from "./harness/sources.ts";

const sources = readSources(join(import.meta.dir, "../src"), "console");
const consoleSources = readSources(join(import.meta.dir, "../src/console"));

describe("the rooms of src/", () => {
  test("the sources are read, with their imports", () => {
    expect(sources.length).toBeGreaterThan(5);
    expect(sources.flatMap((one) => one.imports).filter((one) => one.file).length).toBeGreaterThan(10);
  });

  for (const [title, rule] of Object.entries(RULES))
    test(title, () => {
      expect(violationsOf(rule, sources)).toEqual([]);
    });

  test("no import cycles of files", () => {
    expect(findCycle(sources)?.join(" → ")).toBeUndefined();
  });

  test("no import cycles of rooms, imports of types included", () => {
    expect(findRoomCycle(sources)?.join(" → ")).toBeUndefined();
  });
});

/** It runs in browsers, where nothing of the service may get to, and the other way round. */
describe("the web console, src/console", () => {
  test("imports packages, the SDK and itself", () => {
    expect(consoleSources.length).toBeGreaterThan(5);
    const foreign = consoleSources.flatMap(({ path, imports }) =>
      imports
        .filter(({ file }) => file?.startsWith("../") && !/^(\.\.\/)+sdk\/src\/index\.ts$/.test(file))
        .map((one) => `${path} imports ${one.specifier}`),
    );
    expect(foreign).toEqual([]);
  });

  test("is imported by nothing of the service", () => {
    const importers = sources.filter(({ imports }) =>
      imports.some((one) => one.file?.startsWith("console/")),
    );
    expect(importers.map((one) => one.path)).toEqual([]);
  });

  for (const title of Object.keys(RULES).filter((one) => /^no file is longer|only tests use$/.test(one)))
    test(title, () => {
      expect(violationsOf(RULES[title] ?? (() => ["no such rule"]), consoleSources)).toEqual([]);
    });

  test("has no import cycles", () => {
    expect(findCycle(consoleSources)?.join(" → ")).toBeUndefined();
  });
});

/** Each rule is broken once: a rule that cannot fail enforces nothing. */
describe("the rules report violations", () => {
  const broken: readonly [rule: string, path: string, text: string][] = [
    ["every file is in a room", "utils/x.ts", ""],
    ["imports point down", "db/x.ts", 'import type { A } from "../runs/writer.ts";'],
    ["imports point down", "runs/x.ts", 'const a = () => import("../app/start.ts");'],
    ["imports point down", "auth/x.ts", 'import {\n  a,\n  b,\n} from "../server/app.ts";'],
    ["imports point down", "queue/x.ts", 'export * from "../main.ts";'],
    ["imports point down", "queue/x.ts", 'type A = import("../main.ts").A;'],
    ["server and tasks", "server/x.ts", 'import { a } from "../tasks/index.ts";'],
    ["server and tasks", "tasks/x.ts", 'import { a } from "../server/app.ts";'],
    ["shared/errors.ts imports", "shared/errors.ts", 'import { join } from "node:path";'],
    ["features and the layers below", "agents/x.ts", 'import { isLoopback } from "../config/config.ts";'],
    ["Elysia appears", "sessions/store.ts", 'import { t } from "elysia";'],
    ["Elysia appears", "server/x.ts", 'import { jwt } from "@elysiajs/jwt";'],
    ["only store files", "tasks/x.ts", 'import { sql } from "drizzle-orm";'],
    [
      "the owner of a session",
      "live/store.ts",
      "const a = and(eq(session.userId, id), isNull(session.deletedAt));",
    ],
    ["the owner of a session", "live/store.ts", "sql`where user_id = $" + "{id} and\n deleted_at is null`;"],
    ["statuses", "runs/writer.ts", 'tx.update(session).set({ inboxStatus: "Pending" });'],
    ["statuses", "prompts/store.ts", 'await tx\n  .update(prompt)\n  .set({ a: f(1), status: "Queued" });'],
    ["statuses", "runs/claim.ts", "sql`update prompt set lease_epoch = 1, status = 'Running' where true`;"],
    ["statuses", "prompts/store.ts", "tx.update(session).set({ ...sessionAfter.promptQueued });"],
    ["statuses", "prompts/store.ts", 'await tx.insert(prompt).values({ id, status: "Queued" });'],
    ["statuses", "runs/claim.ts", "sql`update session s set cancelled_by = 'me'`;"],
    ["statuses", "tasks/store.ts", "sql`update prompt set dispatched_at = now()`;"],
    ["NOTIFY", "sessions/store.ts", "tx.execute(sql`select pg_notify('outbox', '')`);"],
    ["the environment", "agents/x.ts", 'const a = () => process.env["A"];'],
    ["the environment", "agents/x.ts", "const a = () => Bun.env.A;"],
    ["every program is given", "runs/x.ts", 'const run = () => Bun.spawn(["ls"], { cwd: "/" });'],
    [
      "servers complete",
      "server/x.ts",
      "const open = () => Bun.serve({ fetch: (request) => answer(request) });",
    ],
    ["secrets are compared", "server/x.ts", 'import { timingSafeEqual } from "node:crypto";'],
    ["secrets are compared", "server/x.ts", "const same = given === token.reveal();"],
    ["no file is longer", "db/x.ts", "// line\n".repeat(301)],
    ["nothing is exported", "db/x.ts", "export const unused = 1;"],
    ["nothing is exported", "db/x.ts", "export async function unused() {}"],
    ["nothing is exported", "db/x.ts", "export class Unused {}"],
    ["nothing is exported", "db/x.ts", 'export { a as unused } from "./a.ts";'],
    ["modules have no side effects", "db/x.ts", "const pool = new Pool();"],
    ["modules have no side effects", "db/x.ts", "setInterval(() => {}, 1000);"],
    ["modules have no side effects", "db/x.ts", "const a = await open();"],
    ["modules have no side effects", "db/x.ts", 'process.on("exit", () => {});'],
  ];
  test.each(broken)("%s: %s", (title, path, text) => {
    const rule = Object.entries(RULES).find(([name]) => name.startsWith(title))?.[1];
    if (!rule) throw new Error(`no rule starts with ${title}`);
    expect(violationsOf(rule, [parseSource(path, text)])).not.toEqual([]);
  });

  test("an export counts as used when a file of src/ imports it, in whatever form", () => {
    const rule = RULES["nothing is exported that only tests use"];
    const source = parseSource("db/x.ts", "export const a = 1;\nexport type T = string;");
    const importers = [
      'import { b, a as c } from "./x.ts";',
      'import {\n  b,\n  type a,\n} from "./x.ts";',
      'export { a } from "./x.ts";',
      'const { a } = await import("./x.ts");',
      'import * as x from "./x.ts";\nx.a();',
    ];
    const violations = (text: string) =>
      rule
        ? violationsOf(rule, [source, parseSource("db/y.ts", text)]).filter((one) => /db\/x/.test(one))
        : [];
    for (const text of importers) expect(violations(text)).toEqual([]);
    for (const text of ['import { b } from "./x.ts";', 'import { a } from "./z.ts";', "// a"])
      expect(violations(text)).toHaveLength(1);
  });

  test("a cycle of files is found, unless it is one of types alone", () => {
    const a = parseSource("runs/a.ts", 'const b = () => import("./b.ts");');
    const b = parseSource("runs/b.ts", 'import { type a } from "./a.ts";');
    const typed = parseSource("runs/b.ts", 'import type { a } from "./a.ts";');
    expect(findCycle([a, b])).toEqual(["runs/a.ts", "runs/b.ts", "runs/a.ts"]);
    expect(findCycle([a, typed])).toBeUndefined();
  });

  test("a cycle of rooms is found although no file is on a cycle, and so is one of a room's folders", () => {
    const cycle = (...files: [path: string, text: string][]) =>
      findRoomCycle(files.map(([path, text]) => parseSource(path, text)));
    expect(
      cycle(
        ["live/a.ts", 'import { b } from "../me/b.ts";'],
        ["live/d.ts", ""],
        ["me/b.ts", ""],
        ["me/c.ts", 'import type { d } from "../live/d.ts";'],
      ),
    ).toEqual(["live", "me", "live"]);
    expect(
      cycle(
        ["sandboxes/git/a.ts", 'import { b } from "../process/b.ts";'],
        ["sandboxes/process/b.ts", 'import { c } from "../git/c.ts";'],
        ["sandboxes/git/c.ts", ""],
      ),
    ).toEqual(["sandboxes/git", "sandboxes/process", "sandboxes/git"]);
    expect(cycle(["live/a.ts", 'import { b } from "../me/b.ts";'], ["me/b.ts", ""])).toBeUndefined();
  });

  test("comments and strings are ignored", () => {
    const text =
      '// import { a } from "../main.ts";\n/* process.env */\nconst url = "https://x"; // process.env';
    const source = parseSource("db/x.ts", text);
    for (const rule of Object.values(RULES)) expect(violationsOf(rule, [source])).toEqual([]);
  });
});
