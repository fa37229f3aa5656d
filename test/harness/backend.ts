import { mkdtemp, readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { killMarked, MARKER, signal } from "../../src/sandboxes/process/processes.ts";
import { copyMigrated } from "./embedded.ts";
import { type RunningProcess, startProcess } from "./process.ts";
import { removeFolder } from "./remove-folder.ts";
import { createDatabase, createRedis } from "./services.ts";
import { START_TIMEOUT_MS } from "./timeouts.ts";
import { until } from "./until.ts";

const ROOT = resolve(import.meta.dir, "../..");

/** The command of the program under test: the executable named by TEST_BINARY, else the sources. */
export function programArgv(): [string, ...string[]] {
  const binary = process.env["TEST_BINARY"];
  return binary ? [binary] : [process.execPath, join(ROOT, "src/main.ts")];
}

export type Combination = "embedded" | "postgres" | "redis";

/** What one or more processes of the service share: a database, a queue and a folder. */
export interface Deployment {
  folder: string;
  dataDir: string;
  env: Record<string, string>;
  /** Kills all agents and their supervisors, which outlive the service, as a restart of the machine does. */
  killAgents(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Creates a deployment without data in one of the three combinations. Use with `await using`.
 * @param options.first its first start makes the embedded database, which takes seconds: for tests of that.
 */
export async function createDeployment(
  combination: Combination,
  options: { first: boolean } = { first: false },
): Promise<Deployment> {
  const folder = await mkdtemp(join(tmpdir(), "pb-deployment-"));
  const database = combination === "embedded" ? undefined : await createDatabase();
  const redis = combination === "redis" ? await createRedis() : undefined;
  const dataDir = join(folder, "data");
  if (combination === "embedded" && !options.first) await copyMigrated(dataDir);
  const killAgents = async () => {
    const ids = await readdir(join(dataDir, "sandboxes")).catch(() => []);
    const supervisors = await Bun.$`pgrep -f ${join(dataDir, "sandboxes")}`.nothrow().quiet().text();
    for (const pid of supervisors.split("\n").filter(Boolean)) signal(Number(pid), "SIGKILL");
    for (const id of ids) await killMarked(MARKER, id);
  };
  return {
    folder,
    dataDir,
    env: {
      DATA_DIR: dataDir,
      AUTH_MODE: "none",
      HOST: "127.0.0.1",
      PORT: "0",
      LOG_LEVEL: "debug",
      // With as much isolation as there is: tests of refusals set it to 0.
      ALLOW_UNISOLATED_AGENTS: "1",
      // Where tests make their repositories.
      LOCAL_REPOSITORIES: tmpdir(),
      ...(database && { DATABASE_URL: database.url }),
      ...(redis && { REDIS_URL: redis.url }),
    },
    killAgents,
    async [Symbol.asyncDispose]() {
      await killAgents();
      await Promise.all([database?.drop(), redis?.drop()]);
      await removeFolder(folder);
    },
  };
}

export interface Reply {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: tests read replies of every shape, and assert what they read.
  body: any;
  headers: Headers;
}

export interface Backend {
  process: RunningProcess;
  url: string;
  request(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Reply>;
  /** Creates a session with a first prompt. */
  submit(repo: string, text: string, more?: object): Promise<{ sessionId: string; promptId: string }>;
  // biome-ignore lint/suspicious/noExplicitAny: as above.
  session(id: string): Promise<any>;
  // biome-ignore lint/suspicious/noExplicitAny: as above.
  messages(promptId: string): Promise<any[]>;
  /** Waits until the UI status of the session is one of these. @returns the session. */
  // biome-ignore lint/suspicious/noExplicitAny: as above.
  waitForStatus(id: string, statuses: string | readonly string[], timeoutMs?: number): Promise<any>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Starts the service and waits until it listens.
 * @param options.args default: a server with background tasks.
 * @param options.binary an executable to start instead of the sources.
 */
export async function startBackend(
  deployment: Deployment,
  options: { args?: string[]; env?: Record<string, string>; binary?: string } = {},
): Promise<Backend> {
  const running = startProcess({
    argv: [
      ...(options.binary ? ([options.binary] as const) : programArgv()),
      ...(options.args ?? ["server", "--with-bg-tasks"]),
    ],
    env: { ...deployment.env, ...options.env },
    cwd: deployment.folder,
  });
  const url = (await running.waitForLine(/listens on (\S+)/, { timeoutMs: START_TIMEOUT_MS }))[1] as string;

  const request: Backend["request"] = async (method, path, body, headers = {}) => {
    const reply = await fetch(new URL(path, url), {
      method,
      headers: { ...(body !== undefined && { "content-type": "application/json" }), ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await reply.text();
    return { status: reply.status, headers: reply.headers, body: text === "" ? undefined : JSON.parse(text) };
  };
  const requestOk: Backend["request"] = async (...args) => {
    const reply = await request(...args);
    if (reply.status !== 200)
      throw new Error(`${args[0]} ${args[1]} answered ${reply.status}: ${JSON.stringify(reply.body)}`);
    return reply;
  };

  return {
    process: running,
    url,
    request,
    async submit(repo, text, more = {}) {
      const body = { repo, target_branch: "main", messages: [{ content: text }], ...more };
      return (await requestOk("POST", "/sessions/with-prompt", body)).body;
    },
    session: async (id) => (await requestOk("GET", `/sessions/${id}`)).body.session,
    messages: async (promptId) => (await requestOk("GET", `/prompts/${promptId}/messages`)).body.messages,
    waitForStatus: (id, statuses, timeoutMs = 30_000) =>
      until(
        async () => {
          const { session } = (await requestOk("GET", `/sessions/${id}`)).body;
          return [statuses].flat().includes(session.uiStatus) && session;
        },
        { what: `session ${id} to become ${[statuses].flat().join(" or ")}`, timeoutMs },
      ),
    [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
  };
}

/** Starts a process that does not listen, and waits until it runs. */
export async function startWorker(
  deployment: Deployment,
  args: string[],
  env: Record<string, string> = {},
): Promise<RunningProcess> {
  const running = startProcess({
    argv: [...programArgv(), ...args],
    env: { ...deployment.env, ...env },
    cwd: deployment.folder,
  });
  await running.waitForLine(/prompt-backend runs /, { timeoutMs: START_TIMEOUT_MS });
  return running;
}

/**
 * Runs a command of the program and waits for its exit.
 * @param options.after what its children do until then; they are ended after that.
 */
export async function runProgram(
  args: string[],
  options: { env?: Record<string, string>; cwd: string; after?: () => Promise<unknown> },
) {
  await using running = startProcess({
    argv: [...programArgv(), ...args],
    env: options.env ?? {},
    cwd: options.cwd,
  });
  const { code } = await running.exit;
  await options.after?.();
  return { code, stdout: running.stdout.join("\n"), stderr: running.stderr.join("\n") };
}
