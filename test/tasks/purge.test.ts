import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { count, eq, sql } from "drizzle-orm";
import type { PgTable } from "drizzle-orm/pg-core";
import { readConfig } from "../../src/config/config.ts";
import type { Database } from "../../src/db/client.ts";
import {
  deadLetter,
  idempotencyKey,
  message,
  outbox,
  prompt,
  requestLimit,
  session,
} from "../../src/db/tables.ts";
import { messagesAfter } from "../../src/live/store.ts";
import { createMessage } from "../../src/messages/change-store.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { purge } from "../../src/tasks/purge.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { makeRepository, type TestRepository } from "../harness/repository.ts";

const never = new AbortController().signal;
const ago = (days: number) => new Date(Date.now() - days * 86_400_000);
const idFrom = (days: number) => Bun.randomUUIDv7("hex", ago(days).getTime());

interface Made {
  id: string;
  promptId: string;
}

/** A session whose one prompt ended, with messages, all so many days ago. */
async function makeSession(
  { orm }: Database,
  options: {
    days: number;
    deletedDays?: number;
    messages?: number;
    status?: "Completed" | "Queued";
    sandbox?: boolean;
  },
): Promise<Made> {
  const { days, deletedDays, messages = 3, status = "Completed", sandbox = false } = options;
  const [id, promptId] = [idFrom(days), idFrom(days)];
  await orm.insert(session).values({
    id,
    userId: "alice",
    repo: "owner/name",
    targetBranch: "main",
    branch: `prompt/${id}`,
    title: "A session",
    promptSeq: 1,
    messageSeq: messages,
    deletedAt: deletedDays === undefined ? null : ago(deletedDays),
    sbxConfig: sandbox ? { provider: "local", id: crypto.randomUUID(), host: "here" } : null,
    messages: [{ role: "user", content: "hello", prompt_id: promptId, at: ago(days).toISOString() }],
  });
  await orm.insert(prompt).values({
    id: promptId,
    sessionId: id,
    userId: "alice",
    seq: 1,
    data: "hello",
    status,
    finishedAt: status === "Completed" ? ago(days) : null,
  });
  for (let seq = 1; seq <= messages; seq += 400)
    await orm.insert(message).values(
      Array.from({ length: Math.min(400, messages - seq + 1) }, (_, index) => ({
        id: idFrom(days),
        promptId,
        sessionId: id,
        seq: seq + index,
        data: { n: seq + index },
      })),
    );
  return { id, promptId };
}

describeEachDatabase("retention", (database) => {
  let dataDir: string;
  let source: TestRepository;
  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), "pb-retention-"));
    source = await makeRepository();
  });
  afterAll(async () => {
    await rm(dataDir, { recursive: true, force: true });
    await source.remove();
  });

  const lines: string[] = [];
  const round = (env: Record<string, string> = {}, signal = never) =>
    purge(
      {
        config: readConfig({ DATA_DIR: dataDir, PATH: process.env["PATH"], ...env }),
        database: database(),
        logger: createLogger({ level: "warn", write: (line) => void lines.push(line) }),
      },
      signal,
    );
  const rows = async (table: PgTable, where = sql`true`) =>
    (await database().orm.select({ count: count() }).from(table).where(where))[0]?.count;
  const isThere = async (made: Made) => (await rows(session, eq(session.id, made.id))) === 1;
  const messagesOf = (made: Made) => rows(message, eq(message.sessionId, made.id));

  test("sessions deleted long ago are purged with all that belongs to them; a second round finds nothing", async () => {
    const { orm } = database();
    const old = await makeSession(database(), { days: 60, deletedDays: 31, messages: 1201 });
    const recent = await makeSession(database(), { days: 60, deletedDays: 29 });
    const alive = await makeSession(database(), { days: 60 });
    const held = await makeSession(database(), { days: 60, deletedDays: 31, sandbox: true });
    const waiting = await makeSession(database(), { days: 60, deletedDays: 31, status: "Queued" });
    await orm.update(session).set({ parent: old.id }).where(eq(session.id, alive.id));
    for (const entityId of [old.id, old.promptId, alive.promptId])
      await orm
        .insert(deadLetter)
        .values({ id: Bun.randomUUIDv7(), taskType: "prompt-run", entityId, lastError: "x" });

    const removed = await round();
    expect(removed["rows_of_deleted_sessions"]).toBe(1201 + 2 + 1 + 1);
    expect(await isThere(old)).toBe(false);
    expect(await rows(deadLetter)).toBe(1);
    for (const kept of [recent, alive, held, waiting]) {
      expect(await isThere(kept)).toBe(true);
      expect(await messagesOf(kept)).toBe(3);
    }

    const again = await round();
    expect(Object.values(again).filter((one) => one > 0)).toEqual([]);

    await orm.update(session).set({ sbxConfig: null }).where(eq(session.id, held.id));
    expect((await round({ RETENTION_DELETED_DAYS: "0" }))["rows_of_deleted_sessions"]).toBeUndefined();
    expect((await round())["rows_of_deleted_sessions"]).toBe(3 + 1 + 1);
    expect(await isThere(held)).toBe(false);
  });

  test("old prompts' events are purged; conversation, prompt and cursors stay", async () => {
    const { orm } = database();
    const old = await makeSession(database(), { days: 91, messages: 1100 });
    const recent = await makeSession(database(), { days: 89 });
    const waiting = await makeSession(database(), { days: 91, status: "Queued" });
    // Replayed since: its messages are old, its end is not.
    const replayed = await makeSession(database(), { days: 91 });
    await orm
      .update(prompt)
      .set({ finishedAt: ago(1) })
      .where(eq(prompt.id, replayed.promptId));

    expect((await round({ RETENTION_EVENTS_DAYS: "0" }))["events"]).toBeUndefined();
    expect((await round())["events"]).toBe(1100);
    expect(await messagesOf(old)).toBe(0);
    for (const kept of [recent, waiting, replayed]) expect(await messagesOf(kept)).toBe(3);
    const [row] = await orm.select().from(session).where(eq(session.id, old.id));
    expect(row?.messages).toHaveLength(1);
    expect(await rows(prompt, eq(prompt.id, old.promptId))).toBe(1);
    expect((await round())["events"]).toBe(0);

    // A reader who had seen event 700 goes on with the next one there is, whose number is new.
    await orm.transaction((tx) =>
      createMessage(tx, { userId: "alice", promptId: old.promptId, data: { n: "next" } }),
    );
    const next = await messagesAfter(orm, old.id, 700);
    expect(next.map(({ seq, data }) => [seq, data])).toEqual([[1101, { n: "next" }]]);
  });

  test("old outbox rows, idempotency keys and request counts are purged", async () => {
    const { orm } = database();
    const row = (publishedAt: Date | null) => ({
      id: Bun.randomUUIDv7(),
      topic: "prompt-run",
      key: "x",
      payload: {},
      createdAt: ago(9),
      publishedAt,
    });
    const old = Array.from({ length: 1050 }, () => row(ago(1.1)));
    await orm.insert(outbox).values([...old, row(ago(0.9)), row(null)]);
    const key = (name: string, days: number) => ({
      userId: "alice",
      key: name,
      fingerprint: "x",
      response: {},
      createdAt: ago(days),
    });
    await orm.insert(idempotencyKey).values([key("old", 1.1), key("recent", 0.9)]);
    await orm.insert(requestLimit).values([
      { key: "old", points: 1, expire: ago(1).getTime() },
      { key: "now", points: 1, expire: Date.now() + 60_000 },
      { key: "for ever", points: 1, expire: null },
    ]);
    expect(await round()).toMatchObject({ outbox_rows: 1050, idempotency_keys: 1, request_counts: 1 });
    expect([await rows(outbox), await rows(idempotencyKey), await rows(requestLimit)]).toEqual([2, 1, 2]);
  });

  test("concurrent purges share the work, and one that is stopped leaves the rest", async () => {
    const many = await Promise.all(
      Array.from({ length: 25 }, () => makeSession(database(), { days: 60, deletedDays: 40, messages: 40 })),
    );
    const stopped = new AbortController();
    stopped.abort();
    await round({}, stopped.signal);
    expect(await Promise.all(many.map(isThere))).not.toContain(false);
    const shares = await Promise.all([round(), round(), round()]);
    const total = shares.reduce((sum, one) => sum + (one["rows_of_deleted_sessions"] ?? 0), 0);
    expect(total).toBe(25 * (40 + 1 + 1));
    expect(await Promise.all(many.map(isThere))).not.toContain(true);
  });

  test("conversations and branches of purged sessions are removed from DATA_DIR", async () => {
    const alive = await makeSession(database(), { days: 60 });
    const deleted = await makeSession(database(), { days: 60, deletedDays: 29 });
    const [gone, young] = [idFrom(60), idFrom(1)];
    const conversations = join(dataDir, "conversations");
    const ids = [alive.id, deleted.id, gone, young];
    for (const id of [...ids, "not-a-session"]) await mkdir(join(conversations, id), { recursive: true });
    const store = join(dataDir, "repos", `${"a".repeat(32)}.git`);
    await source.git("clone", "--quiet", "--bare", source.path, store);
    for (const id of ids)
      for (const ref of ["base", "head", "aside/x"])
        await source.git("-C", store, "update-ref", `refs/sessions/${id}/${ref}`, "refs/heads/main");

    expect(await round()).toMatchObject({ conversations: 1, branches: 3 });
    expect(await readdir(conversations)).toEqual(
      expect.arrayContaining([alive.id, deleted.id, young, "not-a-session"]),
    );
    expect(await readdir(conversations)).not.toContain(gone);
    const refs = await source.git("-C", store, "for-each-ref", "--format=%(refname)");
    for (const id of ids) expect(refs.includes(id)).toBe(id !== gone);
    expect(refs).toContain("refs/heads/main");
    expect(await round()).toMatchObject({ conversations: 0, branches: 0 });
  });

  test("a DATA_DIR that belongs to another database is not touched, and a warning is logged", async () => {
    await Bun.write(join(dataDir, "database-id"), "another\n");
    const stranger = join(dataDir, "conversations", idFrom(60));
    await mkdir(stranger, { recursive: true });
    lines.length = 0;
    expect(await round()).toMatchObject({ conversations: 0, branches: 0 });
    expect(lines.join("\n")).toContain("belongs to another database");
    expect(await readdir(join(dataDir, "conversations"))).toContain(stranger.split("/").at(-1) as string);
  });
});
