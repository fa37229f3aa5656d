import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RedisClient } from "bun";
import { lockDataDir } from "../../src/db/data-dir-lock.ts";
import { checked, ok } from "../../src/doctor/finding.ts";
import { createStage, runProgram, startBackend } from "../harness/backend.ts";
import { PATIENCE_MS } from "../harness/patience.ts";
import { startRedis } from "../harness/private-servers.ts";
import { createDatabase, createRedis, describeWith } from "../harness/services.ts";

setDefaultTimeout(PATIENCE_MS);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-doctor-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** AGENT and PORT are settled, so that only what a test is about can be wrong. */
async function doctor(env: Record<string, string> = {}, args = ["--json"]) {
  const base = { DATA_DIR: join(folder, "none"), AGENT: "demo", PORT: "0" };
  const done = await runProgram(["doctor", ...args], { cwd: folder, env: { ...base, ...env } });
  return done;
}
async function examined(env: Record<string, string> = {}) {
  const done = await doctor(env);
  expect(done.stderr).toBe("");
  const report = JSON.parse(done.stdout) as {
    status: string;
    checks: { check: string; status: string; detail: string; fix?: string }[];
  };
  for (const one of report.checks) expect([one.check, one.status === "ok"]).toEqual([one.check, !one.fix]);
  const of = (check: string) => {
    const found = report.checks.find((one) => one.check === check);
    return found && `${found.status}: ${found.detail}`;
  };
  return { code: done.code, text: done.stdout, status: report.status, of, checks: report.checks };
}

test("healthy and embedded, before the first start: all is well, and nothing is made", async () => {
  const { code, of, checks } = await examined();
  expect(checks.filter(({ status }) => status === "fail")).toEqual([]);
  expect(code).toBe(0);
  expect(of("configuration")).toBe("ok: no mistakes");
  expect(of("database")).toMatch(/^ok: embedded; it will be made in/);
  expect(of("git")).toMatch(/^ok: git version \d/);
  expect(of("agent")).toMatch(/^ok: .*demo/);
  expect(of("disk")).toMatch(/^ok: [\d.]+ GiB free/);
  expect(existsSync(join(folder, "none"))).toBe(false);
});

test("the table has a line for each check, and what to do under what is not ok", async () => {
  const { code, stdout } = await doctor({ AUTH_MODE: "none" }, []);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^ok {4}configuration {2}no mistakes$/m);
  expect(stdout).toMatch(/^warn {2}identity .*\n +→ use it for trying out only$/m);
});

test("embedded: beside a running service, after it, and while something else has the folder", async () => {
  await using stage = await createStage("embedded");
  {
    await using backend = await startBackend(stage);
    const { port } = new URL(backend.url);
    const beside = await examined({ ...stage.env, PORT: port });
    expect(beside.of("database")).toMatch(
      /^ok: embedded, in use by the running service \(process \d+, version/,
    );
    expect(beside.of("port")).toBe(`ok: the running service listens on ${backend.url}`);
    expect((await backend.request("GET", "/sessions")).status).toBe(200);
    // By its answer alone, where there is no socket to ask.
    const stranger = await examined({ PORT: port });
    expect(stranger.of("port")).toMatch(/^ok: a prompt-backend .* listens on 127\.0\.0\.1:\d+ already/);
    backend.process.kill("SIGTERM");
    await backend.process.exit;
  }
  const after = await examined(stage.env);
  expect(after.of("database")).toMatch(/^(ok|warn): embedded PostgreSQL \d+.*ms a statement/);
  expect(after.of("migrations")).toBe("ok: none is missing");
  expect(after.of("clock")).toMatch(/^ok/);

  const unlock = lockDataDir(stage.dataDir);
  try {
    const busy = await examined(stage.env);
    expect([busy.code, busy.of("database")]).toEqual([
      0,
      expect.stringMatching(/^warn: .* is in use by another/),
    ]);
  } finally {
    unlock();
  }
});

test("each mistake of the configuration is named, and nothing else is looked at", async () => {
  const { code, checks } = await examined({ PORT: "x", WORKER_CONCURRENCY: "0", GITHUB_TOKEN: "a secret" });
  expect(code).toBe(1);
  expect(checks).toHaveLength(1);
  expect(checks[0]?.detail).toContain("3 mistakes");
  for (const name of ["PORT", "WORKER_CONCURRENCY", "GITHUB_TOKEN"])
    expect(checks[0]?.detail).toContain(name);
  expect(checks[0]?.detail).not.toContain("a secret");
});

test("programs that are missing or do not work, a disk that is too small, a port that is taken", async () => {
  const bin = join(folder, "bin");
  await mkdir(bin);
  const script = async (name: string, text: string) => {
    await Bun.write(join(bin, name), `#!/bin/sh\n${text}\n`);
    await chmod(join(bin, name), 0o755);
  };
  const bare = await examined({ PATH: bin });
  expect([bare.code, bare.of("git")]).toEqual([1, "fail: git is not installed"]);
  expect(bare.of("isolation")).toMatch(/^warn: agents run without isolation: bubblewrap is not installed/);

  await script("git", "echo git version 2.20.1");
  await script("bwrap", "echo no namespaces here >&2; exit 1");
  await script("claude", "echo 9.8.7 '(Claude Code)'");
  const taken = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("hello") });
  try {
    const { code, of, text } = await examined({
      PATH: bin,
      AGENT: "claude",
      ANTHROPIC_API_KEY: "sk-secret-of-ours",
      MIN_FREE_DISK_MB: "9999999",
      PORT: String(taken.port),
    });
    expect(code).toBe(1);
    expect(of("git")).toBe("fail: git version 2.20.1 is too old");
    expect(of("isolation")).toMatch(/^warn: .*no namespaces here/);
    expect(of("agent")).toMatch(/^ok: The agent is Claude Code .* Its version: 9\.8\.7/);
    expect(of("disk")).toMatch(/^fail: .* less than MIN_FREE_DISK_MB/);
    expect(of("port")).toMatch(/^fail: .*is in use by another process/);
    expect(text).not.toContain("sk-secret");
  } finally {
    await taken.stop(true);
  }

  const noAgent = await examined({ AGENT: "command", AGENT_COMMAND: '["no-such-agent"]' });
  expect(noAgent.of("agent")).toMatch(/^fail: .*"no-such-agent" is not installed/);
  const byDefault = await examined({ AGENT: "" });
  expect(byDefault.of("agent")).toMatch(/^warn: The agent is the built-in demo/);
});

test("an issuer that publishes its keys, and one that does not; an allocator that is away", async () => {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request) {
      const { pathname, origin } = new URL(request.url);
      if (pathname === "/good/.well-known/openid-configuration")
        return Response.json({ issuer: `${origin}/good`, jwks_uri: `${origin}/keys` });
      if (pathname === "/bad/.well-known/openid-configuration")
        return Response.json({ issuer: `${origin}/bad`, jwks_uri: `${origin}/none` });
      if (pathname === "/keys") return Response.json({ keys: [] });
      return new Response("no", { status: 404 });
    },
  });
  const at = (path: string) => ({ KEYCLOAK_ISSUER: new URL(path, server.url).href });
  try {
    expect((await examined(at("/good"))).of("identity")).toMatch(/^ok: .*publishes its keys/);
    const bad = await examined(at("/bad"));
    expect([bad.code, bad.of("identity")]).toEqual([
      1,
      expect.stringMatching(/^fail: .*\/none answered 404/),
    ]);
    expect((await examined(at("/nowhere"))).of("identity")).toMatch(/openid-configuration answered 404/);
    const there = { AGENT: "command", AGENT_COMMAND: '["sh"]', SANDBOX_PROVIDER: "allocator" };
    const here = await examined({ ...there, IP_ALLOCATOR_URL: server.url.href });
    expect(here.of("allocator")).toMatch(/^ok: .*answers \(404\)/);
    await server.stop(true);
    const away = await examined({ ...there, IP_ALLOCATOR_URL: server.url.href });
    expect(away.of("allocator")).toMatch(/^fail: .*does not answer/);
  } finally {
    await server.stop(true);
  }
});

test("a check that hangs ends, and says so", async () => {
  const never = new Promise<never>(() => undefined);
  expect(await checked("x", () => never, { fix: "do this", timeoutMs: 20 })).toEqual({
    check: "x",
    status: "fail",
    detail: "no answer within 0.02 s",
    fix: "do this",
  });
  expect(await checked("x", () => ok("y"), { fix: "z" })).toEqual({ check: "x", status: "ok", detail: "y" });
});

describeWith(["postgres", "redis"], "doctor with PostgreSQL and Redis", () => {
  test("healthy, then nothing there", async () => {
    const [database, redis] = [await createDatabase(), await createRedis()];
    const env = { DATABASE_URL: database.url, REDIS_URL: redis.url, AUTH_MODE: "local" };
    const healthy = await examined(env);
    expect([healthy.code, healthy.of("migrations")]).toEqual([0, "ok: none is missing"]);
    expect(healthy.of("database")).toMatch(/^(ok|warn): PostgreSQL \d+.*ms a statement/);
    expect(healthy.of("queue")).toMatch(/^ok: Redis \d.*maxmemory-policy noeviction/);
    await database.drop();
    const gone = await examined({ ...env, REDIS_URL: "redis://u:pass-of-redis@127.0.0.1:1" });
    expect(gone.code).toBe(1);
    expect(gone.of("database")).toMatch(/^fail: .*that database does not exist/);
    expect(gone.of("queue")).toMatch(/^fail: Cannot use the queue.*127\.0\.0\.1:1/);
    expect(gone.text).not.toContain("pass-of-redis");
    await redis.drop();
  });

  test("a Redis that may drop jobs", async () => {
    const own = await startRedis({ folder: await mkdtemp(join(folder, "redis-")) });
    const client = new RedisClient(own.url);
    try {
      await client.send("CONFIG", ["SET", "maxmemory-policy", "allkeys-lru"]);
      const { code, of } = await examined({ REDIS_URL: own.url });
      expect([code, of("queue")]).toEqual([0, expect.stringMatching(/^warn: .*allkeys-lru/)]);
    } finally {
      client.close();
      await own.stop();
    }
  });

  test("a database that lacks migrations, and one of a newer version", async () => {
    const { url, drop } = await createDatabase();
    const sql = new Bun.SQL({ url, max: 1 });
    const env = { DATABASE_URL: url, AUTH_MODE: "local" };
    try {
      await sql`delete from drizzle.__drizzle_migrations where created_at = (select max(created_at) from drizzle.__drizzle_migrations)`;
      const older = await examined(env);
      expect([older.code, older.of("migrations")]).toEqual([
        0,
        expect.stringMatching(/^warn: missing: \d{4}_/),
      ]);
      await sql`insert into drizzle.__drizzle_migrations (hash, created_at) values ('x', 99999999999999)`;
      const newer = await examined(env);
      expect([newer.code, newer.of("migrations")]).toEqual([
        1,
        expect.stringMatching(/^fail: .*newer prompt-backend/),
      ]);
    } finally {
      await sql.end();
      await drop();
    }
  });

  test("a wrong password is said without the password", async () => {
    // The tests' own server trusts everybody: one that refuses is played by a listener that answers as PostgreSQL does.
    const server = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        data(socket, data) {
          // SSLRequest: no.
          if (data.length === 8) return void socket.write("N");
          const fields = 'SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user "u"\0\0';
          const reply = Buffer.alloc(5 + fields.length);
          reply.write("E");
          reply.writeInt32BE(4 + fields.length, 1);
          reply.write(fields, 5);
          socket.end(reply);
        },
      },
    });
    try {
      const { code, of, text } = await examined({
        DATABASE_URL: `postgres://u:wrong-password@127.0.0.1:${server.port}/x`,
        AUTH_MODE: "local",
      });
      expect([code, of("database")]).toEqual([1, expect.stringMatching(/^fail: .*the password is wrong/)]);
      expect(text).not.toContain("wrong-password");
    } finally {
      server.stop(true);
    }
  });
});
