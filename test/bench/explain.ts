/**
 * Executes every operation of the API and every task on a large database, and lists the statements whose plans depend on
 * its size: with a sequential scan of a large table, a sort on disk, JIT, more than 1,000 rows that are read in vain, or
 * more than 20 ms. Twice: with plans for the values, and with generic ones, which prepared statements may get.
 *
 *   bun test/bench/explain.ts [--sessions N] [--plans]
 *       --sessions   default 1,000,000, with 10 messages each; makes 12 GB below TMPDIR, which it removes at the end
 *       --plans      prints all statements with their plans, not the offenders alone
 *   EXPLAIN_DATABASE_URL and EXPLAIN_LOG_FOLDER: a filled database, and its server's logs, instead
 */
import { chmod, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { SQL } from "bun";
import { openLocalIssuer } from "../../src/auth/local-issuer.ts";
import { startBackend } from "../harness/backend.ts";
import { startPostgres } from "../harness/private-servers.ts";
import { removeFolder } from "../harness/remove-folder.ts";
import { makeRepository } from "../harness/repository.ts";
import { createDatabase } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import { BIGGEST_USER, fillLarge, LARGE } from "./large-data.ts";
import { type Asked, allOperations, OTHER_USER, WEBHOOK_SECRET } from "./operations.ts";
import { type Explained, judge, openPlanLog } from "./plans.ts";

/** How long the tasks work beside the requests. */
const TASKS_MS = 20_000;
/** BullMQ's own: its functions, what they execute, and its tables. */
const OTHERS = /\bp_queue\b|\b_bulk_\w+|\bAS t\(id\)|\b(FROM|INTO|UPDATE) (job|event|queue\w*)\b/;

const { values: options } = parseArgs({
  options: {
    sessions: { type: "string", default: String(LARGE.sessions) },
    plans: { type: "boolean", default: false },
  },
});
const folder = await mkdtemp(join(tmpdir(), "pb-explain-"));
await chmod(folder, 0o755);
const say = (text: string) => process.stderr.write(`${text}\n`);
const repository = await makeRepository();
const pushed = { repository: repository.path, commit: (await repository.git("rev-parse", "main")).trim() };
try {
  const given = process.env["EXPLAIN_DATABASE_URL"];
  if (given) await explainAll(given, process.env["EXPLAIN_LOG_FOLDER"] ?? "");
  else {
    const postgres = await startPostgres({
      folder,
      settings: {
        ...{ shared_buffers: "1GB", max_wal_size: "4GB", logging_collector: "on" },
        ...{ log_destination: "jsonlog", log_directory: "log", log_rotation_size: 0 },
      },
    });
    try {
      process.env["TEST_DATABASE_URL"] = postgres.url;
      const { url } = await createDatabase();
      await fillLarge(url, { ...LARGE, ...pushed, sessions: Number(options.sessions) }, say);
      await explainAll(url, join(folder, "postgres/data/log"));
    } finally {
      await postgres.stop();
    }
  }
} finally {
  await repository.remove();
  await removeFolder(folder);
}

async function explainAll(url: string, logFolder: string): Promise<void> {
  // What the bench itself asks is not explained.
  const connection = { "auto_explain.log_min_duration": -1 };
  await using sql = new SQL({ url, max: 1, idleTimeout: 0, connection });
  const [{ name }] = await sql`select current_database() as name`;
  const set = (setting: string, value: string) =>
    sql.unsafe(`alter database ${name} set ${setting} = ${value}`);
  await set("session_preload_libraries", "auto_explain");
  for (const [setting, value] of Object.entries({
    ...{ log_min_duration: 0, log_analyze: "on", log_timing: "off", log_format: "json" },
    log_nested_statements: "on",
  }))
    await set(`auto_explain.${setting}`, String(value));
  const sizes = new Map<string, number>(
    (await sql`select relname as name, reltuples as rows from pg_class where relkind = 'r'`).map(
      (row: { name: string; rows: number }) => [row.name, row.rows],
    ),
  );
  const log = openPlanLog(logFolder);
  for (const mode of ["auto", "force_generic_plan"]) {
    await set("plan_cache_mode", mode);
    say(`plan_cache_mode=${mode}`);
    // What the first reading of a page costs says nothing of a plan.
    const skip = () => {
      for (const _ of log.next());
    };
    await execute(url, sql, skip);
    report(mode, judge(log.next(), sizes));
  }
}

/** Starts the service, does everything twice, and calls `between` before the second time. */
async function execute(url: string, sql: SQL, between: () => void): Promise<void> {
  const dataDir = await mkdtemp(join(folder, "data-"));
  const env = {
    ...{ DATABASE_URL: url, DATA_DIR: dataDir, AUTH_MODE: "local", HOST: "127.0.0.1", PORT: "0" },
    ...{
      LOG_LEVEL: "warn",
      ALLOW_UNISOLATED_AGENTS: "1",
      LOCAL_REPOSITORIES: tmpdir(),
      WORKER_CONCURRENCY: "2",
    },
    ...{ AGENT: "command", AGENT_COMMAND: JSON.stringify(["sh", "-c", "cat; date > when"]) },
    ...{
      RETENTION_EVENTS_DAYS: "175",
      RETENTION_AUDIT_DAYS: "179",
      WEBHOOK_SECRET,
      FORGE_WEBHOOK_SECRET: WEBHOOK_SECRET,
    },
    ...{ RATE_LIMIT_PER_MINUTE: "60000", RATE_LIMIT_ADDRESS_PER_MINUTE: "60000" },
    MAX_UNFINISHED_PROMPTS: "1000000",
    ...{ BUDGET_USD_PER_USER_DAY: "1000000", BUDGET_USD_PER_DEPLOYMENT_DAY: "1000000" },
    FORGES: JSON.stringify([{ host: "git.invalid", kind: "gitea", token: "token" }]),
  };
  const deployment = { folder: dataDir, dataDir, env, killAgents: async () => undefined };
  await using backend = await startBackend({ ...deployment, [Symbol.asyncDispose]: async () => undefined });
  const issuer = openLocalIssuer({ dataDir, audience: "prompt-backend" });
  const tokens = {
    biggest: await issuer.issue({ user: BIGGEST_USER, roles: [] }),
    other: await issuer.issue({ user: OTHER_USER, roles: [] }),
    admin: await issuer.issue({ user: "admin", roles: ["admin"] }),
  };
  const statuses = new Map<string, number[]>();
  const send = async (asked: Asked) => {
    const { operation, method, path, body, as = "biggest", headers = {} } = asked;
    const reply = await fetch(new URL(path, backend.url), {
      method,
      signal: AbortSignal.timeout(60_000),
      headers: {
        authorization: `Bearer ${tokens[as]}`,
        ...(body !== undefined && { "content-type": "application/json" }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    await (asked.until ? readUntil(reply, asked.until) : reply.bytes());
    statuses.set(operation, [...(statuses.get(operation) ?? []), reply.status]);
  };
  const document = (await (await fetch(new URL("/openapi.json", backend.url))).json()) as {
    paths: Record<string, Record<string, { operationId: string }>>;
  };
  const operations = Object.values(document.paths).flatMap((methods) =>
    Object.values(methods).map(({ operationId }) => operationId),
  );
  for (const round of [0, 1]) {
    if (round === 1) between();
    const began = performance.now();
    const before = await endedRuns(sql);
    for (const asked of await allOperations(sql, round + Math.floor(Math.random() * 20), pushed))
      await send(asked);
    await signInAndOut(backend.url, issuer.issueSignInCode(), statuses);
    await fetch(new URL("/metrics", backend.url), { headers: { connection: "close" } }).then((reply) =>
      reply.text(),
    );
    await until(async () => (await endedRuns(sql)) > before, { what: "a run to end", timeoutMs: 120_000 });
    await Bun.sleep(Math.max(0, TASKS_MS - (performance.now() - began)));
  }
  const missing = operations.filter((one) => !statuses.has(one));
  if (missing.length > 0) throw new Error(`no request is made of ${missing.join(", ")}`);
  for (const [operation, seen] of statuses)
    if (!seen.some((one) => one < 300)) say(`only refused: ${operation} ${[...new Set(seen)].join(", ")}`);
}

/** Of what was seeded. */
async function endedRuns(sql: SQL): Promise<number> {
  const [{ count }] = await sql`select count(*) as count from prompt
    where finished_at > now() - interval '1 hour' and created_at < now() - interval '1 hour'`;
  return Number(count);
}

async function readUntil(reply: Response, text: RegExp): Promise<void> {
  const reader = reply.body?.pipeThrough(new TextDecoderStream()).getReader();
  for (let seen = ""; !text.test(seen); ) {
    const part = await reader?.read();
    if (!part || part.done) return;
    seen = seen.slice(-1_000) + part.value;
  }
  await reader?.cancel();
}

/** As a browser, whose session is found by its cookie. */
async function signInAndOut(url: string, code: string, statuses: Map<string, number[]>): Promise<void> {
  const { origin } = new URL(url);
  const json = { origin, "content-type": "application/json" };
  const signIn = await fetch(`${url}/auth/local`, {
    method: "POST",
    headers: json,
    body: JSON.stringify({ code }),
  });
  const cookie = signIn.headers.get("set-cookie")?.split(";")[0] ?? "";
  const session = await fetch(`${url}/auth/session`, { headers: { cookie } });
  const { csrf_token: csrf = "" } = (await session.json()) as { csrf_token?: string };
  await fetch(`${url}/sessions?limit=1`, { headers: { cookie } });
  const body = JSON.stringify({ everywhere: true });
  const signOut = await fetch(`${url}/auth/sign-out`, {
    method: "POST",
    headers: { ...json, cookie, "x-csrf-token": csrf },
    body,
  });
  const seen = { sign_in_local: signIn, session, sign_out: signOut };
  for (const [name, { status }] of Object.entries(seen)) statuses.set(`handlers_auth_${name}`, [status]);
}

function report(mode: string, all: readonly Explained[]): void {
  const own = all.filter(({ text }) => !OTHERS.test(text));
  const offenders = own.filter(({ offences }) => offences.size > 0).sort((a, b) => b.ms - a.ms);
  const shown = options.plans ? own : offenders;
  console.log(`\n# plan_cache_mode=${mode}: ${own.length} statements, ${offenders.length} offenders`);
  for (const { text, executions, ms, offences, plan } of shown)
    console.log(
      `\n## ${[...offences].join(", ") || "good"} (${executions} times, median ${ms.toFixed(1)} ms)\n${text.slice(0, 1_500)}\n${plan}`,
    );
  if (offenders.length > 0) process.exitCode = 1;
}
