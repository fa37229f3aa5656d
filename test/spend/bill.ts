import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import postgres from "postgres";
import { killMarked, MARKER, signal } from "../../src/sandboxes/process/processes.ts";
import { makeNode, type Node } from "../chaos/node.ts";
import { createRandom } from "../chaos/random.ts";
import { claudeProgram } from "../harness/claude-code.ts";
import { tokensOf } from "../harness/model-bill.ts";
import { startPostgres } from "../harness/private-servers.ts";
import { removeFolder } from "../harness/remove-folder.ts";
import { makeRepository } from "../harness/repository.ts";
import { until } from "../harness/until.ts";
import { compare } from "./bill-compare.ts";
import { type Deeds, startModelOf } from "./bill-model.ts";
import { type Job, jobText, planJobs, TROUBLES } from "./bill-plan.ts";

const RUN_TIMEOUT_MS = 600_000;
/** A title's call counts as lost after five minutes. */
const QUIET_TIMEOUT_MS = 400_000;

export interface BillFindings {
  /** Sentences; empty: usage and bill are the same. */
  wrong: string[];
  deeds: Readonly<Record<string, number>>;
}

/**
 * `bun run bill [--runs N] [--seed S] [--at-once M] [--logs]`: runs of the real Claude Code on two nodes of the service with a PostgreSQL, with a scripted
 * model that keeps a bill, during retries, cancels, broken streams and kill -9 of agents and nodes; then what GET /usage says is
 * compared with the bill. TEST_BINARY names an executable to test; by default the sources run.
 */
export async function compareBill(options: {
  runs: number;
  /** How many troubles each run has. */
  each?: number;
  seed: number;
  atOnce: number;
  databaseUrl: string;
  program: string;
  say: (line: string) => void;
  logs?: boolean;
}): Promise<BillFindings> {
  const { runs, each = 1, seed, atOnce, databaseUrl, program, say } = options;
  const jobs = planJobs({ runs, each, random: createRandom(seed) });
  const deedCounts: Record<string, number> = {};
  const sessions = new Map<string, string>();
  const folder = await mkdtemp(join(tmpdir(), "pb-bill-"));
  const repository = await makeRepository();
  const sql = postgres(databaseUrl, { max: 4, onnotice: () => undefined });
  let turn = 0;
  /** Asks one node after the other until one answers. */
  const api = async (method: string, path: string, body?: object, headers: Record<string, string> = {}) => {
    const sent = body && { body: JSON.stringify(body) };
    return await until(
      async () => {
        const { url } = nodes[turn++ % nodes.length] as Node;
        const reply = await fetch(`${url}${path}`, {
          ...{ method, headers: { ...(sent && { "content-type": "application/json" }), ...headers } },
          ...sent,
        });
        const text = await reply.text();
        if (reply.status >= 500) return undefined;
        if (!reply.ok) return { error: `${method} ${path}: ${reply.status} ${text}` };
        // biome-ignore lint/suspicious/noExplicitAny: replies of every shape.
        return { body: JSON.parse(text) as any };
      },
      { what: `${method} ${path} to be answered`, timeoutMs: 60_000, everyMs: 200 },
    ).then((reply) => {
      if ("error" in reply) throw new Error(reply.error);
      return reply.body;
    });
  };

  /** The node that has a job's sandbox, and that sandbox. */
  const placeOf = async ({ label }: Job) => {
    const [row] =
      await sql`select sbx_config ->> 'id' as id from session where id = ${sessions.get(label) ?? ""}`;
    const sandbox = String(row?.["id"]);
    const node = nodes.find(({ dataDir }) => existsSync(join(dataDir, "sandboxes", sandbox)));
    if (!node) throw new Error(`${label} has no sandbox`);
    return { node, sandbox: join(node.dataDir, "sandboxes", sandbox) };
  };
  const failures: string[] = [];
  const guarded =
    <Args extends unknown[]>(deed: (...args: Args) => Promise<void>) =>
    (...args: Args) =>
      deed(...args).catch((error: unknown) => void failures.push(String(error)));
  let restarting = Promise.resolve();
  const deeds: Deeds = {
    cancel: guarded(async ({ label }) => {
      await api("POST", `/sessions/${sessions.get(label)}/cancel`);
    }),
    killAgent: guarded(async (job) => {
      const { sandbox } = await placeOf(job);
      const pids = async (...args: string[]) =>
        (await Bun.$`pgrep ${args}`.nothrow().quiet().text()).split("\n").filter(Boolean).map(Number);
      const supervisors = await pids("-f", `supervisor ${sandbox}`);
      const children = (await Promise.all(supervisors.map((pid) => pids("-P", String(pid))))).flat();
      // The supervisor first, so that it cannot record the exit.
      for (const pid of [...supervisors, ...children]) signal(pid, "SIGKILL");
    }),
    killService: guarded(async (job) => {
      const { node } = await placeOf(job);
      restarting = restarting.then(async () => {
        await node.end("SIGKILL");
        await node.start();
      });
      await restarting;
    }),
    written: guarded(async ({ label }, characters, disconnected) => {
      let isGone = false;
      void disconnected.then(() => {
        isGone = true;
      });
      await until(
        async () => {
          const rows = await sql`select 1 from model_call where session_id = ${sessions.get(label) ?? ""}
            and status = 'open' and output_tokens between ${tokensOf(characters)} and ${tokensOf(characters) + 10}`;
          return isGone || rows.length > 0;
        },
        { what: `what ${label} was told to be written down`, timeoutMs: 30_000 },
      );
    }),
  };
  const model = startModelOf(jobs, deeds, (trouble) => {
    deedCounts[trouble] = (deedCounts[trouble] ?? 0) + 1;
  });
  const nodes: Node[] = [];
  for (const name of ["node-1", "node-2"]) {
    const dataDir = join(folder, name);
    await mkdir(dataDir);
    const env = () => ({
      ...{ DATABASE_URL: databaseUrl, AUTH_MODE: "none", HOST: "127.0.0.1", LOG_LEVEL: "info" },
      ...{ LOCAL_REPOSITORIES: tmpdir(), ALLOW_UNISOLATED_AGENTS: "1", WORKER_CONCURRENCY: String(atOnce) },
      ...{ RATE_LIMIT_PER_MINUTE: "0", RATE_LIMIT_ADDRESS_PER_MINUTE: "0", AFFINITY_MS: "0" },
      ...{
        AGENT: "claude",
        CLAUDE_PATH: program,
        ANTHROPIC_API_KEY: "sk-ant-test",
        ANTHROPIC_BASE_URL: model.url,
      },
      // So that all of it passes through them.
      ...{
        BUDGET_USD_PER_USER_DAY: "100000",
        BUDGET_USD_PER_SESSION: "1000",
        BUDGET_USD_PER_DEPLOYMENT_DAY: "100000",
      },
    });
    nodes.push(await makeNode({ name, args: ["server", "--with-bg-tasks"], dataDir, env, cwd: folder }));
  }
  try {
    for (const node of nodes) await node.start();
    const groups: Job[][] = [];
    for (const job of jobs)
      if (job.follows) groups.at(-1)?.push(job);
      else groups.push([job]);
    let ended = 0;
    const work = async () => {
      for (let group = groups.shift(); group; group = groups.shift()) {
        let sessionId: string | undefined;
        for (const { label, model: name } of group) {
          const chosen = { agent: "claude", model: name };
          const key = { "idempotency-key": `bill-${seed}-${label}` };
          if (sessionId) sessions.set(label, sessionId);
          const data = [{ type: "text", content: jobText(label) }];
          const made = sessionId
            ? await api("POST", "/prompts", { session_id: sessionId, data, ...chosen }, key)
            : await api(
                "POST",
                "/sessions/with-prompt",
                {
                  repo: repository.path,
                  target_branch: "main",
                  messages: [{ content: jobText(label) }],
                  ...chosen,
                },
                key,
              );
          const promptId: string = made.promptId ?? made.id;
          sessionId ??= made.sessionId as string;
          sessions.set(label, sessionId);
          const end = await until(
            async () =>
              (
                await sql`select status, error from prompt where id = ${promptId} and finished_at is not null`
              )[0],
            { what: `${label} to end`, timeoutMs: RUN_TIMEOUT_MS, everyMs: 200 },
          );
          ended += 1;
          say(`${ended}/${runs} ${label} ${end["status"]} ${end["error"] ?? ""}`);
        }
      }
    };
    await Promise.all(Array.from({ length: atOnce }, work));
    await restarting;
    await until(
      async () => {
        const [row] = await sql`select count(*)::int as open from model_call where status = 'open'`;
        return row?.["open"] === 0 && model.open() === 0;
      },
      { what: "all calls to end", timeoutMs: QUIET_TIMEOUT_MS, everyMs: 200 },
    );
    const wrong = [...failures, ...(await compare({ api, sql, model, jobs, sessions, say }))];
    return { wrong, deeds: deedCounts };
  } finally {
    if (options.logs)
      for (const { name, lives } of nodes)
        await Bun.write(join(tmpdir(), `bill-${name}.log`), lives.flat().join("\n"));
    await Promise.all(nodes.map((node) => node.process?.[Symbol.asyncDispose]()));
    for (const { dataDir } of nodes)
      for (const id of await readdir(join(dataDir, "sandboxes")).catch(() => []))
        await killMarked(MARKER, id);
    await model.stop();
    await sql.end();
    await repository.remove();
    await removeFolder(folder);
  }
}

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    args: process.argv.slice(2),
    options: {
      runs: { type: "string", default: "200" },
      seed: { type: "string", default: "1" },
      "at-once": { type: "string", default: "6" },
      logs: { type: "boolean", default: false },
    },
  });
  const program = await claudeProgram();
  if (typeof program !== "string") throw new Error(program.missing);
  const folder = await mkdtemp(join(tmpdir(), "pb-bill-database-"));
  const database = await startPostgres({ folder, durable: true });
  const say = (line: string) => void process.stdout.write(`${line}\n`);
  try {
    const { wrong, deeds } = await compareBill({
      ...{ runs: Number(values.runs), seed: Number(values.seed), atOnce: Number(values["at-once"]) },
      ...{ databaseUrl: database.url, program, say, logs: values.logs },
    });
    for (const trouble of TROUBLES)
      if (trouble !== "none") say(`  ${trouble.padEnd(52)}${deeds[trouble] ?? 0}`);
    for (const one of wrong) say(`WRONG ${one}`);
    return wrong.length === 0;
  } finally {
    await database.stop();
    await removeFolder(folder);
  }
}

if (import.meta.main) process.exit((await main()) ? 0 : 1);
