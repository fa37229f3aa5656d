import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { LATEST_SCHEMA_VERSION } from "bullmq";
import { sql } from "drizzle-orm";
import { type Database, rowsOf } from "../../src/db/client.ts";
import { openEmbedded } from "../../src/db/embedded.ts";
import { migrate, pendingMigrations } from "../../src/db/migrate.ts";
import { migrations } from "../../src/db/migrations.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { createDatabase, describeWith } from "../harness/services.ts";
import { SLOW_TEST_TIMEOUT_MS, TEST_TIMEOUT_MS } from "../harness/timeouts.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

test("every migration in drizzle/ is embedded in the executable", async () => {
  const files = (await readdir(resolve(import.meta.dir, "../../drizzle"))).filter((name) =>
    name.endsWith(".sql"),
  );
  expect(migrations.map(({ tag }) => `${tag}.sql`)).toEqual(files.sort());
});

test(
  "the embedded database is migrated; a second process and a newer database are refused",
  async () => {
    const dataDir = await mkdtemp(join(tmpdir(), "pb-db-"));
    const database = await openEmbedded({ dataDir });
    try {
      expect(await pendingMigrations(database.orm)).toEqual(migrations.map(({ tag }) => tag));
      expect(await migrate({ database, queue: true })).toEqual(migrations.map(({ tag }) => tag));
      expect(await pendingMigrations(database.orm)).toEqual([]);
      // Whoever starts next finds that by one statement, and takes no lock.
      let statements = 0;
      const execute = database.orm.execute.bind(database.orm);
      const counted: Pick<Database["orm"], "execute"> = {
        execute: (statement) => {
          statements += 1;
          return execute(statement);
        },
      };
      const refused = () => Promise.reject(new Error("there is something to do"));
      const again = { ...database, orm: counted as Database["orm"], withAdvisoryLock: refused };
      expect(await migrate({ database: again, queue: true })).toEqual([]);
      expect(statements).toBe(1);
      await database.orm.execute(sql`delete from bullmq.migration where version = ${LATEST_SCHEMA_VERSION}`);
      await expect(migrate({ database: again, queue: true })).rejects.toThrow("there is something to do");
      await database.orm.execute(
        sql`insert into bullmq.migration (version, name, min_client_version) values (${LATEST_SCHEMA_VERSION}, 'x', 1)`,
      );

      const second = Bun.spawnSync({
        cmd: [process.execPath, resolve(import.meta.dir, "../../src/main.ts"), "migrate"],
        env: { PATH: process.env["PATH"] ?? "", DATA_DIR: dataDir },
      });
      expect(second.exitCode).toBe(1);
      expect(second.stderr.toString()).toMatch(
        new RegExp(`^prompt-backend: DATA_DIR .* is in use by another process \\(${process.pid}\\)\\..*\n$`),
      );

      await database.orm.execute(
        sql`insert into drizzle.__drizzle_migrations (hash, created_at) values ('x', 99999999999999)`,
      );
      await expect(migrate({ database, queue: false })).rejects.toThrow(/newer prompt-backend/);
    } finally {
      await database.close();
      await rm(dataDir, { recursive: true, force: true });
    }
  },
  SLOW_TEST_TIMEOUT_MS,
);

// Sessions from before the column had made their branches, and were refused their next push.
test(
  "who waits when there are rows for each agent has them",
  async () => {
    const dataDir = await mkdtemp(join(tmpdir(), "pb-db-"));
    const database = await openEmbedded({ dataDir });
    const { orm } = database;
    const later = migrations.findIndex(({ tag }) => tag === "0030_agent_turn");
    const apply = async (list: typeof migrations) => {
      for (const { text } of list)
        for (const one of text.split("--> statement-breakpoint")) await orm.execute(sql.raw(one));
    };
    try {
      await apply(migrations.slice(0, later));
      for (const [user, agent, delay] of [
        ["a", null, null],
        ["a", "codex", "1 hour"],
        ["a", "codex", "2 hours"],
        ["b", "codex", "1 hour"],
        ["b", "codex", "-1 hour"],
      ])
        await orm.execute(sql`with own as (
            insert into session (id, user_id, repo, target_branch, branch, title)
            values (gen_random_uuid(), ${user}, 'r', 'main', gen_random_uuid(), 't') returning id, user_id)
          insert into prompt (id, session_id, user_id, seq, data, agent, not_before)
          select gen_random_uuid(), id, user_id, 1, '{}', ${agent}, now() + ${delay}::text::interval from own`);
      await orm.execute(sql`update user_turn set running = 2, started_at = 'epoch' where user_id = 'b'`);
      await apply(migrations.slice(later));
      const rows = await rowsOf(
        orm,
        sql`select user_id, agent, running, started_at = 'epoch' as started, round(extract(epoch from due_at - now()) / 3600)::int as hours
          from agent_turn order by user_id, agent`,
      );
      expect(rows).toEqual([
        { user_id: "a", agent: "", running: 0, started: null, hours: null },
        { user_id: "a", agent: "codex", running: 0, started: null, hours: 1 },
        { user_id: "b", agent: "codex", running: 2, started: true, hours: null },
      ]);
    } finally {
      await database.close();
      await rm(dataDir, { recursive: true, force: true });
    }
  },
  SLOW_TEST_TIMEOUT_MS,
);

test(
  "a session that has pushed is known to have made its branch, by the service's own note alone",
  async () => {
    const dataDir = await mkdtemp(join(tmpdir(), "pb-db-"));
    const database = await openEmbedded({ dataDir });
    const { orm } = database;
    const statements = (list: typeof migrations) =>
      list.flatMap(({ text }) => text.split("--> statement-breakpoint"));
    const ids = new Map<string, string>();
    /** A session with one prompt and its last messages. */
    const add = async (branch: string, status: string, texts: string[]) => {
      const [session, prompt] = [crypto.randomUUID(), crypto.randomUUID()];
      ids.set(session, branch);
      await orm.execute(
        sql`insert into session (id, user_id, repo, target_branch, branch, title) values (${session}, 'u', 'r', 'main', ${branch}, 't')`,
      );
      await orm.execute(
        sql`insert into prompt (id, session_id, user_id, seq, data, status) values (${prompt}, ${session}, 'u', 1, '{}', ${status})`,
      );
      for (const [index, text] of texts.entries()) {
        const data = JSON.stringify({ type: "assistant", message: { content: [{ type: "text", text }] } });
        await orm.execute(
          sql`insert into message (id, prompt_id, session_id, seq, data) values (${crypto.randomUUID()}, ${prompt}, ${session}, ${index + 1}, ${data}::jsonb)`,
        );
      }
    };
    const note = (branch: string) =>
      `Branch ${branch} (2 commits, tip abc1234) was pushed to https://git.test/a/b.`;
    try {
      for (const one of statements(migrations.slice(0, 4))) await orm.execute(sql.raw(one));
      await add("prompt/pushed", "Completed", ["hello", note("prompt/pushed")]);
      await add("prompt/limit", "Completed", [`It was cut short.\n\n${note("prompt/limit")}`]);
      await add("prompt/kept", "Completed", [
        "Branch prompt/kept (1 commit, tip abc1234) was not pushed: set GITHUB_TOKEN.",
      ]);
      await add("prompt/renamed", "Completed", [note("prompt/earlier")]);
      await add("prompt/forged", "Completed", [note("prompt/forged"), "Nothing was changed."]);
      await add("prompt/failed", "Failed", [note("prompt/failed")]);
      for (const one of statements(migrations.slice(4))) await orm.execute(sql.raw(one));
      const rows = await rowsOf<{ id: string; commit: string | null }>(
        orm,
        sql`select id, pushed_commit as commit from session where pushed_commit is not null`,
      );
      expect(rows.map(({ id, commit }) => `${ids.get(id)} ${commit}`).sort()).toEqual([
        "prompt/limit abc1234",
        "prompt/pushed abc1234",
      ]);
    } finally {
      await database.close();
      await rm(dataDir, { recursive: true, force: true });
    }
  },
  SLOW_TEST_TIMEOUT_MS,
);

describeWith("postgres", "migrations on PostgreSQL", () => {
  test("concurrent processes apply each migration once", async () => {
    const { url, drop } = await createDatabase();
    const open = () => openPostgres({ url, poolMax: 2, logger: createLogger({ level: "silent" }) });
    const databases = await Promise.all([open(), open(), open(), open()]);
    await databases[0]?.orm.execute(sql`drop schema public cascade`);
    await databases[0]?.orm.execute(sql`drop schema drizzle cascade`);
    await databases[0]?.orm.execute(sql`create schema public`);
    const applied = await Promise.all(databases.map((database) => migrate({ database, queue: true })));
    expect(applied.flat()).toEqual(migrations.map(({ tag }) => tag));
    await Promise.all(databases.map((database) => database.close()));
    await drop();
  });

  test("the error for an unusable database is one line, without the password", async () => {
    const open = (url: string) =>
      openPostgres({ url, poolMax: 2, logger: createLogger({ level: "silent" }) });
    await expect(open("postgres://me:hunter22@127.0.0.1:1/x")).rejects.toThrow(
      "Cannot use the database of DATABASE_URL (127.0.0.1:1/x): connection refused. Is PostgreSQL running, and is the port right?",
    );
    const { url, drop } = await createDatabase();
    await drop();
    await expect(open(url)).rejects.toThrow(/the database does not exist; create it first/);
    // As PgBouncer 1.18 refuses a setting that it does not know.
    const fields = ["SFATAL", "C08P01", "Munsupported startup parameter: tcp_user_timeout", ""];
    const refusal = Buffer.from(`E    ${fields.join("\0")}\0`);
    refusal.writeInt32BE(refusal.length - 1, 1);
    using bouncer = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (socket) => void socket.end(refusal) },
    });
    await expect(open(`postgres://me:hunter22@127.0.0.1:${bouncer.port}/x`)).rejects.toThrow(
      /a setting of the connection is refused. Is this PgBouncer\? docs\/OPERATIONS.md/,
    );
  });
});
