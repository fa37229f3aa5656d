import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { RedisClient, SQL } from "bun";
import { findPostgres, freePort, isRoot, runQuietly } from "./machine.ts";
import { until } from "./until.ts";

export interface PrivateServer {
  url: string;
  /** For the log. */
  title: string;
  stop(): Promise<void>;
  /** Crashes the server and restarts it at the same address. @param meanwhile runs while it is down. */
  crash(meanwhile?: () => Promise<void>): Promise<void>;
}

/**
 * Starts a private PostgreSQL in `folder`, without fsync: its data need not last.
 * @param options.durable commits survive a crash of the server, though not of the machine.
 * @param options.settings of the server, before its own.
 */
export async function startPostgres(options: {
  folder: string;
  durable?: boolean;
  settings?: Readonly<Record<string, string | number>>;
}): Promise<PrivateServer> {
  const bin = findPostgres();
  if (!bin) throw new Error("PostgreSQL (initdb, postgres) is not installed");
  const folder = join(options.folder, "postgres");
  const data = join(folder, "data");
  mkdirSync(folder, { recursive: true });
  const user = await makeAccessible(options.folder, folder);
  // PostgreSQL refuses to run as root. The parent-death signal covers a test runner that was killed.
  const as = (signal: string) => wrap(user, signal);

  const initdb = [
    join(bin, "initdb"),
    "-D",
    data,
    "-U",
    "test",
    "-A",
    "trust",
    "-E",
    "UTF8",
    "--locale=C",
    "-N",
  ];
  const made = await runQuietly([...as("KILL"), ...initdb], { cwd: folder });
  if (made.code !== 0) throw new Error(`initdb failed: ${made.tail}`);

  const port = await freePort();
  const settings = {
    listen_addresses: "127.0.0.1",
    port,
    unix_socket_directories: folder,
    fsync: "off",
    synchronous_commit: options.durable ? "on" : "off",
    full_page_writes: options.durable ? "on" : "off",
    max_connections: 300,
    shared_buffers: "64MB",
    // Its folder may be in memory.
    max_wal_size: "256MB",
    ...options.settings,
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const url = `postgres://test@127.0.0.1:${port}/postgres`;
  const start = async () => {
    const server = spawn({ argv: [...as("INT"), join(bin, "postgres"), "-D", data, ...flags], cwd: folder });
    try {
      await server.answers("PostgreSQL", async () => {
        const sql = new SQL({ url, max: 1, connectionTimeout: 2 });
        await sql`select 1`.finally(() => sql.end());
      });
      return server;
    } catch (error) {
      await server.stop("SIGQUIT");
      throw error;
    }
  };
  return restartable({ url, title: `PostgreSQL from ${bin}`, start, stopBy: "SIGINT", crashBy: "SIGQUIT" });
}

/** Starts a private Redis without persistence. */
export async function startRedis(options: { folder: string }): Promise<PrivateServer> {
  const program = Bun.which("redis-server");
  if (!program) throw new Error("redis-server is not installed");
  const folder = join(options.folder, "redis");
  mkdirSync(folder, { recursive: true });
  const port = await freePort();
  const flags = ["--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--databases", "512"];
  const argv = [...wrap(undefined, "TERM"), program, ...flags, "--save", "", "--appendonly", "no"];
  const url = `redis://127.0.0.1:${port}`;
  const start = async () => {
    const server = spawn({ argv, cwd: folder });
    try {
      await server.answers("Redis", async () => {
        const redis = new RedisClient(url, { autoReconnect: false, connectionTimeout: 2000 });
        await redis.send("PING", []).finally(() => redis.close());
      });
      return server;
    } catch (error) {
      await server.stop("SIGKILL");
      throw error;
    }
  };
  return restartable({ url, title: `Redis from ${program}`, start, stopBy: "SIGTERM", crashBy: "SIGKILL" });
}

async function restartable(options: {
  url: string;
  title: string;
  start: () => Promise<{ stop(signal: NodeJS.Signals): Promise<void> }>;
  stopBy: NodeJS.Signals;
  crashBy: NodeJS.Signals;
}): Promise<PrivateServer> {
  const { url, title, start, stopBy, crashBy } = options;
  let server = await start();
  return {
    url,
    title,
    stop: () => server.stop(stopBy),
    async crash(meanwhile = async () => undefined) {
      await server.stop(crashBy);
      await meanwhile();
      server = await start();
    },
  };
}

function spawn(options: { argv: string[]; cwd: string }) {
  const log: string[] = [];
  const child = Bun.spawn(options.argv, {
    cwd: options.cwd,
    env: { PATH: process.env["PATH"] ?? "", LC_ALL: "C.UTF-8" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    // Ctrl-C in a terminal reaches only the test runner, which stops the servers after the tests.
    detached: true,
  });
  const keep = async (stream: ReadableStream<Uint8Array>) => {
    for await (const chunk of stream) {
      log.push(Buffer.from(chunk).toString());
      if (log.length > 50) log.shift();
    }
  };
  const read = Promise.all([keep(child.stdout), keep(child.stderr)]);

  return {
    async answers(title: string, ask: () => Promise<void>): Promise<void> {
      const state = await until(
        async () => {
          if (child.exitCode !== null || child.signalCode !== null) return "ended";
          await ask();
          return "answers";
        },
        { what: `${title} to answer`, timeoutMs: 30_000, everyMs: 50 },
      );
      await (state === "ended" && read);
      if (state === "ended") throw new Error(`${title} did not start: ${log.join("").trim().slice(-800)}`);
    },
    async stop(signal: NodeJS.Signals): Promise<void> {
      child.kill(signal);
      const force = setTimeout(() => child.kill("SIGKILL"), 10_000);
      await child.exited;
      clearTimeout(force);
    },
  };
}

/** As root, gives the folder to an unprivileged user. @returns that user; undefined when not root. */
async function makeAccessible(parent: string, folder: string): Promise<string | undefined> {
  if (!isRoot) return undefined;
  const user = (await runQuietly(["id", "-u", "postgres"])).code === 0 ? "postgres" : "nobody";
  if (!Bun.which("setpriv")) throw new Error("PostgreSQL refuses to run as root, and setpriv is missing");
  chmodSync(parent, 0o711);
  const owned = await runQuietly(["chown", user, folder]);
  if (owned.code !== 0) throw new Error(`cannot give ${folder} to ${user}: ${owned.tail}`);
  return user;
}

function wrap(user: string | undefined, deathSignal: string): string[] {
  const setpriv = process.platform === "linux" ? Bun.which("setpriv") : null;
  if (!setpriv) return [];
  const change = user
    ? ["--reuid", user, "--regid", user === "nobody" ? "nogroup" : user, "--clear-groups"]
    : [];
  return [setpriv, "--pdeathsig", deathSignal, ...change, "--"];
}

/** Removes a folder, whoever owns its files. */
export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}
