import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { SQL } from "bun";
import {
  createDeployment,
  type Deployment,
  programArgv,
  runProgram,
  startBackend,
} from "../harness/backend.ts";
import { type RunningProcess, startProcess } from "../harness/process.ts";
import { describeWith } from "../harness/services.ts";
import { START_TIMEOUT_MS } from "../harness/timeouts.ts";
import { until } from "../harness/until.ts";

/** The advisory lock of migrations, "prompt-b" in ASCII. */
const MIGRATION_LOCK = "8102661195421724002";

const start = (deployment: Deployment, env: Record<string, string> = {}) =>
  startProcess({
    argv: [...programArgv(), "server", "--with-bg-tasks"],
    env: { ...deployment.env, ...env },
    cwd: deployment.folder,
  });

/** Sends SIGTERM to a process whose start-up cannot end by itself, so that it must be aborted. */
async function endsInStartUp(running: RunningProcess): Promise<void> {
  running.kill("SIGTERM");
  expect(await running.exit).toEqual({ code: 0, signal: null });
  expect(running.lines.join("\n")).not.toContain("listens on");
  expect(running.lines.join("\n")).toContain("shut down during start-up");
}

/** A server that accepts connections and never answers. */
function silentServer() {
  let connections = 0;
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open() {
        connections += 1;
      },
      data: () => undefined,
    },
  });
  return {
    port: server.port,
    connected: () => until(() => connections > 0, { what: "a connection", timeoutMs: 25_000 }),
    [Symbol.dispose]: () => server.stop(true),
  };
}

describeWith("postgres", "SIGTERM while start-up waits for PostgreSQL", () => {
  test("for the migration lock: the process exits, and no longer waits for the lock", async () => {
    await using deployment = await createDeployment("postgres");
    await using sql = new SQL({ url: String(deployment.env["DATABASE_URL"]), max: 1 });
    // Only a process with something to migrate takes the lock.
    await sql`drop schema drizzle cascade`;
    await sql`select pg_advisory_lock(${MIGRATION_LOCK}::bigint)`;
    const waiting = async () =>
      (
        await sql`select pid from pg_locks where locktype = 'advisory' and not granted
        and database = (select oid from pg_database where datname = current_database())`
      ).length;
    await using running = start(deployment);
    await until(async () => (await waiting()) === 1, { what: "the process to wait for the lock" });
    await endsInStartUp(running);
    await until(async () => (await waiting()) === 0, { what: "the server to drop the request" });
  });
});

test("SIGTERM while a PostgreSQL or a Redis does not answer", async () => {
  await using deployment = await createDeployment("embedded", { first: true });
  using silent = silentServer();
  await using running = start(deployment, { DATABASE_URL: `postgres://u:p@127.0.0.1:${silent.port}/x` });
  await silent.connected();
  await endsInStartUp(running);

  using other = silentServer();
  await using second = start(deployment, { REDIS_URL: `redis://127.0.0.1:${other.port}` });
  await second.waitForLine(/database migrated/);
  await other.connected();
  second.kill("SIGTERM");
  expect(await second.exit).toEqual({ code: 0, signal: null });
});

test("SIGTERM while the isolation is probed", async () => {
  await using deployment = await createDeployment("embedded", { first: true });
  const bin = join(deployment.folder, "bin");
  await mkdir(bin);
  await writeFile(join(bin, "bwrap"), `#!/bin/sh\ntouch ${deployment.folder}/probed\nexec sleep 60\n`);
  await chmod(join(bin, "bwrap"), 0o755);
  await using running = start(deployment, { PATH: `${bin}${delimiter}${process.env["PATH"]}` });
  await until(() => Bun.file(join(deployment.folder, "probed")).exists(), {
    what: "the probe",
    // After the embedded database has been made.
    timeoutMs: 25_000,
  });
  const begun = performance.now();
  await endsInStartUp(running);
  // The probe alone would take 10 s.
  expect(performance.now() - begun).toBeLessThan(8_000);
});

test("SIGTERM while the embedded database is made, and while it is opened; the next start is whole", async () => {
  await using deployment = await createDeployment("embedded", { first: true });
  {
    await using running = start(deployment);
    await running.waitForLine(/embedded database/i);
    await endsInStartUp(running);
  }
  {
    await using running = start(deployment);
    const holder = () => readFile(join(deployment.dataDir, "lock.pid"), "utf8").catch(() => "");
    await until(async () => (await holder()).trim() === String(running.pid), {
      what: "the database to be opened",
      everyMs: 5,
    });
    await endsInStartUp(running);
  }
  await using backend = await startBackend(deployment);
  expect((await backend.request("GET", "/health/ready")).status).toBe(200);
  // It makes the database twice, which takes seconds each.
}, 90_000);

// With tasks named as the original service named them, or none, entries waited to be sealed for ever.
test("the audit log is sealed whichever tasks a process has, and with what a command has done", async () => {
  await using deployment = await createDeployment("embedded", { first: true });
  const { folder: cwd } = deployment;
  const env = { ...deployment.env, AUTH_MODE: "local" };
  const { code } = await runProgram(["token", "--user", "eve"], { cwd, env });
  expect(code).toBe(0);
  await using running = startProcess({ argv: [...programArgv(), "server"], env, cwd });
  await running.waitForLine(/audit log sealed/, { timeoutMs: START_TIMEOUT_MS });
  expect(readdirSync(join(deployment.dataDir, "acts"))).toEqual([]);
}, 180_000);
