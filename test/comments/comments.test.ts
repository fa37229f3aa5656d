import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { comment as comments } from "../../src/db/review-tables.ts";
import { auditPending } from "../../src/db/safety-tables.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { BASE, commenting, HEAD, LATER } from "./fixture.ts";

describeEachDatabase("comments", (database) => {
  const { send, createSession, comment, list } = commenting(database);

  test("keep the lines that they are about, and are listed in the order in which they were made", async () => {
    const session = await createSession();
    const { body } = await comment(session, { line: 2, end_line: 3, text: "Why two?" });
    expect(body).toEqual({ success: true, message: "Comment created", id: expect.any(String) });
    await comment(session, { path: "b.ts", line: undefined });
    await comment(session, { side: "old", commit: BASE });
    const { comments: listed } = await list(session);
    expect(listed[0]).toEqual({
      id: body.id,
      path: "a.ts",
      commit: HEAD,
      side: "new",
      line: 2,
      end_line: 3,
      text: "Why two?",
      code: "two\n```",
      status: "open",
      outdated: false,
      current: { path: "a.ts", line: 2, end_line: 3 },
      prompt_id: null,
      created_at: expect.stringMatching(/Z$/),
      updated_at: expect.stringMatching(/Z$/),
    });
    expect(listed.slice(1)).toMatchObject([
      { path: "b.ts", line: null, end_line: null, code: "", current: { path: "b.ts", line: null } },
      { side: "old", line: 1, end_line: 1, code: "old", current: { path: "a.ts", line: 1 } },
    ]);
    const first = await list(session, "?limit=2");
    const second = await list(session, `?limit=2&cursor=${first.next_cursor}`);
    expect([...first.comments, ...second.comments]).toEqual(listed);
    expect(second.next_cursor).toBeNull();
  });

  test("are refused where the commit, the file or the line does not exist", async () => {
    const session = await createSession();
    for (const [more, status, code] of [
      [{ commit: LATER }, 404, "commit_not_found"],
      [{ path: "c.ts" }, 404, "file_not_found"],
      [{ line: 5 }, 422, "invalid"],
      [{ line: 4, end_line: 5 }, 422, "invalid"],
      [{ path: "b.ts", line: 2 }, 422, "invalid"],
      [{ line: 3, end_line: 2 }, 422, "invalid"],
      [{ line: undefined, end_line: 2 }, 422, "invalid"],
      [{ line: 0 }, 422, "invalid"],
      [{ line: 1.5 }, 422, "invalid"],
      [{ line: "1" }, 422, "invalid"],
      [{ line: 2 ** 31 }, 422, "invalid"],
      [{ commit: "HEAD" }, 422, "invalid"],
      [{ commit: HEAD.toUpperCase() }, 422, "invalid"],
      [{ side: "left" }, 422, "invalid"],
      [{ text: " \n" }, 422, "invalid"],
      [{ text: "x".repeat(10_001) }, 422, "invalid"],
      [{ path: "" }, 422, "invalid"],
      [{ lines: 1 }, 422, "unknown_field"],
    ] as const) {
      const reply = await comment(session, more);
      expect([more, reply.status, reply.body.code]).toEqual([more, status, code]);
    }
    expect((await list(session)).comments).toEqual([]);
    for (const more of [{ line: 4 }, { path: "b.ts" }, { text: "x".repeat(10_000) }])
      expect([more, (await comment(session, more)).status]).toEqual([more, 200]);
  });

  test("are changed while they are open, and deleted", async () => {
    const session = await createSession();
    const { id } = (await comment(session)).body;
    expect((await send("PUT", `/comments/${id}`, { text: "Why not?" })).body.success).toBe(true);
    expect((await list(session)).comments).toMatchObject([{ id, text: "Why not?", line: 1 }]);
    expect((await send("PUT", `/comments/${id}`, { text: "", line: 2 })).status).toBe(422);
    expect((await send("DELETE", `/comments/${id}`)).body.success).toBe(true);
    expect((await list(session)).comments).toEqual([]);
    const gone = await send("DELETE", `/comments/${id}`);
    expect([gone.status, gone.body.code]).toEqual([404, "comment_not_found"]);
    const acts = await database()
      .orm.select()
      .from(auditPending)
      .where(eq(auditPending.target, `comment:${id}`));
    expect(acts.map(({ actor, action }) => `${actor} ${action}`)).toEqual([
      "alice comment.create",
      "alice comment.update",
      "alice comment.delete",
    ]);
    expect(JSON.stringify(acts)).not.toContain("Why");
  });

  test("that are open are 500 at most", async () => {
    const session = await createSession();
    const row = {
      sessionId: session,
      path: "a.ts",
      commit: HEAD,
      side: "new",
      text: "Why?",
      code: "",
    } as const;
    await database()
      .orm.insert(comments)
      .values(Array.from({ length: 499 }, () => ({ id: Bun.randomUUIDv7(), ...row })));
    const made = await Promise.all([comment(session), comment(session), comment(session)]);
    expect(made.map(({ status }) => status).sort()).toEqual([200, 409, 409]);
    expect(made.find(({ status }) => status === 409)?.body.code).toBe("comment_limit_reached");
    await send("DELETE", `/comments/${(await list(session, "?limit=1")).comments[0].id}`);
    expect((await comment(session)).status).toBe(200);
  });

  test("are made once for each Idempotency-Key", async () => {
    const session = await createSession();
    const body = { path: "a.ts", commit: HEAD, side: "new", text: "Why?" };
    const headers = { "idempotency-key": `comment-${session}` };
    const post = () => send("POST", `/sessions/${session}/comments`, body, { headers });
    const [one, two] = [await post(), await post()];
    expect(two.body).toEqual(one.body);
    expect(two.headers.get("idempotency-replayed")).toBe("true");
    expect((await list(session)).comments).toHaveLength(1);
  });

  test("are unchanged until one of them is, or the branch; each change raises the session's number", async () => {
    const repository = { head: HEAD, files: { [HEAD]: { "a.ts": "one\n" }, [LATER]: { "a.ts": "one\n" } } };
    const other = commenting(database, () => repository);
    const session = await other.createSession();
    const path = `/sessions/${session}/comments`;
    const version = async () => (await send("GET", `/sessions/${session}`)).body.session.commentsVersion;
    const tagOf = async () => String((await other.send("GET", path)).headers.get("etag"));
    const { id } = (await other.comment(session)).body;
    for (const change of [
      () => other.comment(session),
      () => other.send("PUT", `/comments/${id}`, { text: "Why not?" }),
      () => other.send("POST", `${path}/send`, { comment_ids: [id] }),
      () => other.send("DELETE", `/comments/${id}`),
    ]) {
      const [tag, before] = [await tagOf(), await version()];
      const same = await other.send("GET", path, undefined, { headers: { "if-none-match": tag } });
      expect([same.status, same.body]).toEqual([304, undefined]);
      expect((await change()).status).toBe(200);
      expect(await tagOf()).not.toBe(tag);
      expect(await version()).toBe(before + 1);
    }
    const tag = await tagOf();
    repository.head = LATER;
    expect(await tagOf()).not.toBe(tag);
  });

  test("are listed while the repository cannot be read, without their present place", async () => {
    const session = await createSession();
    await comment(session);
    const unreadable = commenting(database, () => undefined);
    expect((await unreadable.list(session)).comments).toMatchObject([
      { line: 1, code: "one", outdated: false, current: null },
    ]);
    const refused = await unreadable.comment(session);
    expect([refused.status, refused.body.code]).toEqual([503, "repository_unavailable"]);
  });
});
