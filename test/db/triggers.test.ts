import { expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { comment } from "../../src/db/review-tables.ts";
import { message, prompt, session } from "../../src/db/tables.ts";
import { CHANNELS } from "../../src/queue/names.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { seedSession } from "../harness/seed.ts";
import { until } from "../harness/until.ts";

describeEachDatabase("triggers", (database) => {
  const versions = async (sessionId: string) => {
    const [row] = await database()
      .orm.select({
        session: session.version,
        comments: session.commentsVersion,
        prompt: prompt.version,
        messages: prompt.messagesVersion,
      })
      .from(session)
      .innerJoin(prompt, eq(prompt.sessionId, session.id))
      .where(eq(session.id, sessionId));
    if (!row) throw new Error("no row");
    return row;
  };

  test("each change of a session raises its version and notifies listeners", async () => {
    const { orm, listen } = database();
    const notified: string[] = [];
    const unlisten = await listen(CHANNELS.session, (payload) => void notified.push(payload));
    const { sessionId } = await seedSession(database(), 1);
    const before = await versions(sessionId);
    await orm.update(session).set({ title: "Another" }).where(eq(session.id, sessionId));
    expect((await versions(sessionId)).session).toBe(before.session + 1);
    // The session, its prompt, its title.
    await until(() => notified.filter((one) => one === `${sessionId} 0 alice`).length === 3, {
      what: "all notifications",
    });
    await unlisten();
  });

  test("visible changes of a prompt raise its version; dispatching it does not", async () => {
    const { orm } = database();
    const { sessionId } = await seedSession(database(), 1);
    const before = await versions(sessionId);
    await orm.update(prompt).set({ dispatchedAt: sql`now()` }).where(eq(prompt.sessionId, sessionId));
    expect((await versions(sessionId)).prompt).toBe(before.prompt);
    await orm.update(prompt).set({ error: "No." }).where(eq(prompt.sessionId, sessionId));
    expect((await versions(sessionId)).prompt).toBe(before.prompt + 1);
  });

  test("creating, changing and deleting messages raises the prompt's messages version", async () => {
    const { orm } = database();
    const { sessionId, promptIds } = await seedSession(database(), 1);
    const promptId = String(promptIds[0]);
    const rows = [1, 2].map((seq) => ({ id: Bun.randomUUIDv7(), promptId, sessionId, seq, data: {} }));
    await orm.insert(message).values(rows);
    expect((await versions(sessionId)).messages).toBe(1);
    await orm.update(message).set({ data: "changed" }).where(eq(message.seq, 1));
    expect((await versions(sessionId)).messages).toBe(2);
    await orm.delete(message).where(eq(message.promptId, promptId));
    expect((await versions(sessionId)).messages).toBe(3);
  });

  test("creating, changing and deleting comments raises the session's comments version", async () => {
    const { orm } = database();
    const { sessionId, promptIds } = await seedSession(database(), 1);
    const about = {
      sessionId,
      path: "a.ts",
      commit: "0".repeat(40),
      side: "new",
      text: "Why?",
      code: "",
    } as const;
    const ids = [Bun.randomUUIDv7(), Bun.randomUUIDv7()];
    const before = await versions(sessionId);
    await orm.insert(comment).values(ids.map((id) => ({ id, ...about })));
    expect((await versions(sessionId)).comments).toBe(1);
    await orm
      .update(comment)
      .set({ sentPromptId: promptIds[0] ?? null })
      .where(eq(comment.sessionId, sessionId));
    expect((await versions(sessionId)).comments).toBe(2);
    await orm.delete(comment).where(eq(comment.id, String(ids[0])));
    expect(await versions(sessionId)).toMatchObject({ comments: 3, session: before.session + 3 });
    // Its prompt is deleted, so that it is open again.
    await orm.delete(prompt).where(eq(prompt.sessionId, sessionId));
    const [left] = await orm
      .select({ version: session.commentsVersion })
      .from(session)
      .where(eq(session.id, sessionId));
    expect(left?.version).toBe(4);
  });
});
