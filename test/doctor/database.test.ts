import { expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { lockDataDir } from "../../src/db/data-dir-lock.ts";
import { createDeployment, startBackend } from "../harness/backend.ts";
import { createDatabase, createRedis, describeWith } from "../harness/services.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { useDoctor } from "./use-doctor.ts";

const { examined } = useDoctor();

test(
  "embedded: while the service runs, after it stopped, and while another process uses the folder",
  async () => {
    await using deployment = await createDeployment("embedded");
    {
      await using backend = await startBackend(deployment);
      const { port } = new URL(backend.url);
      const beside = await examined({ ...deployment.env, PORT: port });
      expect(beside.of("database")).toMatch(
        /^ok: embedded, in use by the running service \(process \d+, version/,
      );
      expect(beside.of("port")).toBe(`ok: the running service is listening on ${backend.url}`);
      expect((await backend.request("GET", "/sessions")).status).toBe(200);
      // By its answer alone, where there is no socket to ask.
      const stranger = await examined({ PORT: port });
      expect(stranger.of("port")).toMatch(
        /^ok: a prompt-backend .* is listening on 127\.0\.0\.1:\d+ already/,
      );
      backend.process.kill("SIGTERM");
      await backend.process.exit;
    }
    const after = await examined(deployment.env);
    expect(after.of("database")).toMatch(/^(ok|warn): embedded PostgreSQL \d+.*ms per statement/);
    expect(after.of("migrations")).toBe("ok: none is pending");
    expect(after.of("clock")).toMatch(/^ok/);

    const unlock = lockDataDir(deployment.dataDir);
    try {
      const busy = await examined(deployment.env);
      expect([busy.code, busy.of("database")]).toEqual([
        0,
        expect.stringMatching(/^warn: .* is in use by another/),
      ]);
    } finally {
      unlock();
    }
  },
  SLOW_TEST_TIMEOUT_MS,
);

describeWith(["postgres", "redis"], "doctor with PostgreSQL and Redis", () => {
  test("passes, then fails when both are gone", async () => {
    const [database, redis] = [await createDatabase(), await createRedis()];
    const env = { DATABASE_URL: database.url, REDIS_URL: redis.url, AUTH_MODE: "local" };
    const healthy = await examined(env);
    expect([healthy.code, healthy.of("migrations")]).toEqual([0, "ok: none is pending"]);
    expect(healthy.of("database")).toMatch(/^(ok|warn): PostgreSQL \d+.*ms per statement/);
    expect(healthy.of("queue")).toMatch(/^ok: Redis \d.*maxmemory-policy noeviction/);
    expect(healthy.of("waiting prompts")).toBe("ok: none waits for anything but its turn");
    expect(healthy.of("kept for sessions")).toMatch(
      /^ok: 0\.\d MB in the database, at most 64 MB of memory .*; no session has unpushed work$/,
    );
    const sql = new Bun.SQL({ url: database.url, max: 1 });
    expect(healthy.of("effects")).toBe("ok: no pull request or merge is overdue");
    const id = crypto.randomUUID();
    await sql`insert into session (id, user_id, repo, target_branch, branch, title) values (${id}, 'a', 'r', 'm', 'b', 't')`;
    await sql`insert into unpushed_work (session_id, commit, bundle) values (${id}, 'c', '{}')`;
    expect((await examined(env)).of("kept for sessions")).toEndWith(
      "; 1 session has unpushed work, which POST /sessions/{id}/push delivers",
    );
    await sql`update unpushed_work set host = 'a'`;
    expect(healthy.of("provenance")).toBe("ok: the first start of a worker will make the key");
    const { privateKey } = generateKeyPairSync("ed25519");
    const key = { PROVENANCE_KEY: String(privateKey.export({ type: "pkcs8", format: "pem" })) };
    expect((await examined({ ...env, ...key })).of("provenance")).toMatch(/^ok: the key is [0-9a-f]{64}$/);
    await sql`insert into prompt (id, session_id, user_id, seq, data) values (${id}, ${id}, 'a', 1, '"x"')`;
    await sql`insert into provenance (id, session_id, prompt_id, key_id, envelope) values (${id}, ${id}, ${id}, 'another', '')`;
    expect((await examined({ ...env, ...key })).of("provenance")).toMatch(
      /^warn: this machine's key is [0-9a-f]{16}…, but there are new signatures of another…$/,
    );
    expect((await examined(env)).of("provenance")).toBe(
      "warn: this machine has no key, but there are new signatures of another…",
    );
    for (const [cause, minutes] of [
      ["git_host", 1],
      ["git_host", 2],
      ["model", 3],
    ] as const) {
      const since = new Date(Date.now() - minutes * 60_000).toISOString();
      const waiting = { for: cause, reason: `It is away for ${minutes} min.`, since, until: since };
      await sql`insert into session (id, user_id, repo, target_branch, branch, title, waiting)
        values (${crypto.randomUUID()}, 'a', 'r', 'm', ${`b${minutes}`}, 't', ${waiting})`;
    }
    await sql.close();
    const waited = await examined(env);
    expect(waited.of("kept for sessions")).toEndWith(
      "; of 1 it is too large for the database, and on one machine alone",
    );
    // With the reason of the one that has waited longest.
    expect([waited.code, waited.of("waiting prompts")]).toEqual([
      0,
      "warn: 2 for git_host (It is away for 2 min.); 1 for model (It is away for 3 min.)",
    ]);
    await database.drop();
    const gone = await examined({ ...env, REDIS_URL: "redis://u:pass-of-redis@127.0.0.1:1" });
    expect(gone.code).toBe(1);
    expect(gone.of("database")).toMatch(/^fail: .*the database does not exist/);
    expect(gone.of("queue")).toMatch(/^fail: Cannot use the queue.*127\.0\.0\.1:1/);
    expect(gone.text).not.toContain("pass-of-redis");
    await redis.drop();
  });
});

describeWith("postgres", "doctor with PostgreSQL", () => {
  test("a database with pending migrations, and one of a newer version", async () => {
    const { url, drop } = await createDatabase();
    const sql = new Bun.SQL({ url, max: 1 });
    const env = { DATABASE_URL: url, AUTH_MODE: "local" };
    try {
      await sql`delete from drizzle.__drizzle_migrations where created_at = (select max(created_at) from drizzle.__drizzle_migrations)`;
      const older = await examined(env);
      expect([older.code, older.of("migrations")]).toEqual([
        0,
        expect.stringMatching(/^warn: pending: \d{4}_/),
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

  test("pull requests that nobody makes", async () => {
    const { url, drop } = await createDatabase();
    const sql = new Bun.SQL({ url, max: 1 });
    const id = crypto.randomUUID();
    try {
      await sql`insert into session (id, user_id, repo, target_branch, branch, title) values (${id}, 'a', 'r', 'm', 'b', 't')`;
      await sql`insert into effect (id, session_id, kind, target, key, status, request, due_at)
        values (${id}, ${id}, 'pull_request', 't', 'k', 'intended', '{}', now() - interval '6 minutes')`;
      const { code, of } = await examined({ DATABASE_URL: url, AUTH_MODE: "local" });
      expect([code, of("effects")]).toEqual([
        0,
        "warn: 1 pull request or merge is due, the first for 6 minutes: no process takes them",
      ]);
    } finally {
      await sql.end();
      await drop();
    }
  });

  test("a wrong password is reported without the password", async () => {
    // The tests' own server accepts every password, so that a listener plays one that refuses.
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
