import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { outbox } from "../../src/db/service-tables.ts";
import { prompt } from "../../src/db/tables.ts";
import { requestCancel } from "../../src/lifecycle/cancel.ts";
import { clientOf } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { COMPLETED, FAILURE, mustClaim, sessionRow, writerOf } from "../harness/seed.ts";
import { bearer, serveLive } from "../live/fixture.ts";
import { openReader } from "../live/reader.ts";

const NOWHERE = "019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708";

describeEachDatabase("what a user has not seen", (database) => {
  const { send, create } = clientOf(database);
  const isUnread = async (id: string) => (await send("GET", `/sessions/${id}`)).body.session.unread;
  const seen = (id: string, body?: unknown, user?: string) => send("PUT", `/sessions/${id}/seen`, body, user);
  const started = async () => {
    const { sessionId, promptId } = await create();
    return { sessionId, writer: writerOf(database().orm, await mustClaim(database(), promptId)) };
  };
  const ended = async (end: Parameters<ReturnType<typeof writerOf>["finish"]>[0]) => {
    const { sessionId, writer } = await started();
    await writer.finish(end);
    return sessionId;
  };

  test("is that a run has ended, well or not", async () => {
    const { sessionId, writer } = await started();
    await writer.append([{ type: "assistant", uuid: "a" }]);
    expect(await isUnread(sessionId)).toBe(false);
    await writer.finish(COMPLETED);
    expect(await isUnread(sessionId)).toBe(true);
    expect(
      await isUnread(await ended({ ...COMPLETED, status: "Failed", error: "No.", errorKind: "agent" })),
    ).toBe(true);
  });

  test("is not that a run is tried again, nor that the user has cancelled it", async () => {
    const retried = await started();
    await retried.writer.retry({ delayMs: 1_000, failure: FAILURE });
    expect(await isUnread(retried.sessionId)).toBe(false);
    const cancelled = await started();
    await database().orm.transaction((tx) =>
      requestCancel(tx, { sessionId: cancelled.sessionId, by: "alice" }),
    );
    await cancelled.writer.finish(COMPLETED);
    expect(await isUnread(cancelled.sessionId)).toBe(false);
  });

  test("is marked and marked again; a repetition writes nothing, and nothing is moved or woken", async () => {
    const id = await ended(COMPLETED);
    const before = await sessionRow(database(), id);
    const reply = await seen(id);
    expect(reply).toMatchObject({ status: 200, body: { success: true, message: "Marked as seen" } });
    const once = await sessionRow(database(), id);
    expect(once).toEqual({ ...before, unread: false, version: (before?.version ?? 0) + 1 } as typeof before);
    await seen(id, {});
    await seen(id, { unread: false });
    expect(await sessionRow(database(), id)).toEqual(once);
    expect((await seen(id, { unread: true })).body.message).toBe("Marked as unread");
    expect(await isUnread(id)).toBe(true);
    const [first] = await database().orm.select().from(prompt).where(eq(prompt.sessionId, id));
    const jobs = await database()
      .orm.select()
      .from(outbox)
      .where(eq(outbox.key, first?.id ?? ""));
    expect(jobs).toHaveLength(1);
  });

  test("belongs to its user; a body of another shape is refused", async () => {
    const id = await ended(COMPLETED);
    expect(await seen(id, undefined, "bob")).toMatchObject({
      status: 404,
      body: { code: "session_not_found" },
    });
    expect((await seen(NOWHERE)).status).toBe(404);
    expect((await seen(id, { unread: "yes" })).status).toBe(422);
    expect((await seen(id, { seen: true })).status).toBe(422);
    expect(await isUnread(id)).toBe(true);
  });

  test("is told to every stream of its user at once, and changes the list's ETag", async () => {
    await using server = await serveLive(database(), { heartbeatMs: 3_600_000 });
    const id = await ended(COMPLETED);
    const list = () => send("GET", "/sessions");
    const etag = (await list()).headers.get("etag");
    const tabs = await Promise.all(
      ["/events", `/sessions/${id}/events`].map(async (path) => {
        const reader = await openReader(`${server.url}${path}`, { headers: bearer("alice") });
        const next = async (unread: boolean) => {
          for (;;) {
            const data = JSON.parse((await reader.next("session")).data);
            if (data.id === id && data.unread === unread) return;
          }
        };
        await next(true);
        return { next, leave: reader.leave };
      }),
    );
    await seen(id);
    for (const { next, leave } of tabs) {
      await next(false);
      leave();
    }
    expect((await list()).headers.get("etag")).not.toBe(etag);
  });
});
