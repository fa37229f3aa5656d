import { expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { count, eq, sql } from "drizzle-orm";
import type { PgTable } from "drizzle-orm/pg-core";
import { comment } from "../../src/db/review-tables.ts";
import { eventTicket } from "../../src/db/safety-tables.ts";
import { idempotencyKey, outbox, requestLimit } from "../../src/db/service-tables.ts";
import { deadLetter, message, prompt, session } from "../../src/db/tables.ts";
import { usedSignInCode, webSession } from "../../src/db/web-session-tables.ts";
import { messagesAfter } from "../../src/live/store.ts";
import { createMessage } from "../../src/messages/change-store.ts";
import { openSecretKeys } from "../../src/projects/keys.ts";
import { createProject, deleteProject } from "../../src/projects/store.ts";
import { openPreparedStore } from "../../src/sandboxes/prepared-store.ts";
import { daysAgo, describePurge, type SeededSession, seedOldSession } from "./fixture.ts";

describePurge("purging the database", (fixture) => {
  const rows = async (table: PgTable, where = sql`true`) =>
    (await fixture().database.orm.select({ count: count() }).from(table).where(where))[0]?.count;
  const exists = async ({ id }: SeededSession) => (await rows(session, eq(session.id, id))) === 1;
  const messagesOf = ({ id }: SeededSession) => rows(message, eq(message.sessionId, id));

  test("prepared checkouts of a deleted project are purged, those of another are not", async () => {
    const { database, dataDir, runPurge } = fixture();
    const { orm } = database;
    const store = openPreparedStore({ dataDir, maxBytes: 1_000 });
    const keys = openSecretKeys({ dataDir, secretsKeys: undefined });
    const projects = await Promise.all(
      ["owner/gone", "owner/there"].map((repo) =>
        orm.transaction((tx) =>
          createProject(tx, keys, { userId: "alice", repo, repoKey: repo, change: {}, secrets: {} }),
        ),
      ),
    );
    for (const { id } of projects) {
      const files = { checkout: join(dataDir, "a"), home: join(dataDir, "b") };
      for (const file of Object.values(files)) await Bun.write(file, "x");
      await store.add(store.keyOf(id), files, { project: id, see: () => undefined });
    }
    const kept = async () => (await readdir(join(dataDir, "prepared"))).sort();
    const [gone, there] = projects.map(({ id }) => store.keyOf(id)) as [string, string];
    expect((await runPurge())["prepared_checkouts"]).toBe(0);
    expect(await kept()).toEqual([gone, there].sort());
    await deleteProject(orm, { userId: "alice", id: projects[0]?.id ?? "" });
    expect((await runPurge())["prepared_checkouts"]).toBe(1);
    expect(await kept()).toEqual([there]);
  });

  test("sessions deleted long ago are purged with everything that belongs to them, and a second round finds nothing", async () => {
    const { database, runPurge } = fixture();
    const { orm } = database;
    const old = await seedOldSession(database, { days: 60, deletedDays: 31, messages: 1201 });
    const recent = await seedOldSession(database, { days: 60, deletedDays: 29 });
    const alive = await seedOldSession(database, { days: 60 });
    const held = await seedOldSession(database, { days: 60, deletedDays: 31, sandbox: true });
    const waiting = await seedOldSession(database, { days: 60, deletedDays: 31, status: "Queued" });
    await orm.update(session).set({ parent: old.id }).where(eq(session.id, alive.id));
    for (const entityId of [old.id, old.promptId, alive.promptId])
      await orm
        .insert(deadLetter)
        .values({ id: Bun.randomUUIDv7(), taskType: "prompt-run", entityId, lastError: "x" });

    const about = { path: "a.ts", commit: "0".repeat(40), side: "new", text: "Why?", code: "" } as const;
    for (const { id: sessionId, promptId } of [old, alive])
      for (const sentPromptId of [null, promptId])
        await orm.insert(comment).values({ id: Bun.randomUUIDv7(), sessionId, ...about, sentPromptId });

    const removed = await runPurge();
    expect(removed["rows_of_deleted_sessions"]).toBe(1201 + 2 + 2 + 1 + 1);
    expect(await exists(old)).toBe(false);
    expect(await rows(comment)).toBe(2);
    expect(await rows(deadLetter)).toBe(1);
    for (const kept of [recent, alive, held, waiting]) {
      expect(await exists(kept)).toBe(true);
      expect(await messagesOf(kept)).toBe(3);
    }

    const again = await runPurge();
    expect(Object.values(again).filter((one) => one > 0)).toEqual([]);

    await orm.update(session).set({ sbxConfig: null }).where(eq(session.id, held.id));
    expect((await runPurge({ RETENTION_DELETED_DAYS: "0" }))["rows_of_deleted_sessions"]).toBeUndefined();
    expect((await runPurge())["rows_of_deleted_sessions"]).toBe(3 + 1 + 1);
    expect(await exists(held)).toBe(false);
  });

  test("the events of old prompts are purged; the conversation, the prompt and cursors stay", async () => {
    const { database, runPurge } = fixture();
    const { orm } = database;
    const old = await seedOldSession(database, { days: 91, messages: 1100 });
    const recent = await seedOldSession(database, { days: 89 });
    const waiting = await seedOldSession(database, { days: 91, status: "Queued" });
    // Retried since: its messages are old, its end is recent.
    const retried = await seedOldSession(database, { days: 91 });
    await orm
      .update(prompt)
      .set({ finishedAt: daysAgo(1) })
      .where(eq(prompt.id, retried.promptId));

    expect((await runPurge({ RETENTION_EVENTS_DAYS: "0" }))["events"]).toBeUndefined();
    expect((await runPurge())["events"]).toBe(1100);
    expect(await messagesOf(old)).toBe(0);
    for (const kept of [recent, waiting, retried]) expect(await messagesOf(kept)).toBe(3);
    const [row] = await orm.select().from(session).where(eq(session.id, old.id));
    expect(row?.messages).toHaveLength(1);
    expect(await rows(prompt, eq(prompt.id, old.promptId))).toBe(1);
    expect((await runPurge())["events"]).toBe(0);

    // A reader that stopped at event 700 continues with the next event, whose number is not reused.
    await orm.transaction((tx) =>
      createMessage(tx, { userId: "alice", promptId: old.promptId, data: { n: "next" } }),
    );
    const next = await messagesAfter(orm, old.id, 700);
    expect(next.map(({ seq, data }) => [seq, data])).toEqual([[1101, { n: "next" }]]);
  });

  test("old outbox rows, idempotency keys, request counts, event tickets, web sessions and used sign-in codes are purged", async () => {
    const { database, runPurge } = fixture();
    const { orm } = database;
    const row = (publishedAt: Date | null) => ({
      id: Bun.randomUUIDv7(),
      topic: "prompt-run",
      key: "x",
      payload: {},
      createdAt: daysAgo(9),
      publishedAt,
    });
    const old = Array.from({ length: 1050 }, () => row(daysAgo(1.1)));
    await orm.insert(outbox).values([...old, row(daysAgo(0.9)), row(null)]);
    const key = (name: string, days: number) => ({
      userId: "alice",
      key: name,
      fingerprint: "x",
      response: {},
      createdAt: daysAgo(days),
    });
    await orm.insert(idempotencyKey).values([key("old", 1.1), key("recent", 0.9)]);
    await orm.insert(requestLimit).values([
      { key: "old", points: 1, expire: daysAgo(1).getTime() },
      { key: "now", points: 1, expire: Date.now() + 60_000 },
      { key: "for ever", points: 1, expire: null },
    ]);
    const inSeconds = (seconds: number) => new Date(Date.now() + seconds * 1_000);
    const ticket = (hash: string, seconds: number) => ({
      hash,
      userId: "alice",
      expiresAt: inSeconds(seconds),
    });
    await orm.insert(eventTicket).values([ticket("expired", -1), ticket("unused", 30)]);
    const browser = (id: string, seconds: number) => ({
      id,
      userId: "alice",
      sealedTokens: "",
      // What has expired is the newer one: only its end counts.
      createdAt: daysAgo(seconds < 0 ? 1 : 29),
      expiresAt: inSeconds(seconds),
    });
    await orm.insert(webSession).values([browser("expired", -1), browser("open", 30)]);
    await orm.insert(usedSignInCode).values([
      { hash: "expired", expiresAt: inSeconds(-1) },
      // Purged before it expires, it would sign in again.
      { hash: "used", expiresAt: inSeconds(30) },
    ]);
    expect(await runPurge()).toMatchObject({
      outbox_rows: 1050,
      idempotency_keys: 1,
      request_counts: 1,
      event_tickets: 1,
      web_sessions: 1,
      sign_in_codes: 1,
    });
    const left = [outbox, idempotencyKey, requestLimit, eventTicket].map((table) => rows(table));
    expect(await Promise.all(left)).toEqual([2, 1, 2, 1]);
    expect(await orm.select({ id: webSession.id }).from(webSession)).toEqual([{ id: "open" }]);
    expect(await orm.select({ hash: usedSignInCode.hash }).from(usedSignInCode)).toEqual([{ hash: "used" }]);
  });

  test("concurrent rounds share the work, and a round that is stopped removes nothing more", async () => {
    const { database, runPurge } = fixture();
    const many = await Promise.all(
      Array.from({ length: 25 }, () => seedOldSession(database, { days: 60, deletedDays: 40, messages: 40 })),
    );
    const stopped = new AbortController();
    stopped.abort();
    await runPurge({}, stopped.signal);
    expect(await Promise.all(many.map(exists))).not.toContain(false);
    const shares = await Promise.all([runPurge(), runPurge(), runPurge()]);
    const total = shares.reduce((sum, one) => sum + (one["rows_of_deleted_sessions"] ?? 0), 0);
    expect(total).toBe(25 * (40 + 1 + 1));
    expect(await Promise.all(many.map(exists))).not.toContain(true);
  });
});
