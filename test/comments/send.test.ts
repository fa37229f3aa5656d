import { expect, test } from "bun:test";
import { describeEachDatabase } from "../harness/databases.ts";
import { BASE, commenting } from "./fixture.ts";

describeEachDatabase("sent comments", (database) => {
  const { send, createSession, comment, list } = commenting(database);
  const sendAll = (session: string, body?: unknown) =>
    send("POST", `/sessions/${session}/comments/send`, body);
  const promptsOf = async (session: string) =>
    (await send("GET", `/sessions/${session}/prompts`)).body.prompts;

  test("are one follow-up prompt that quotes them by file and line", async () => {
    const session = await createSession();
    await comment(session, { line: 3, text: "And this?" });
    await comment(session, { side: "old", commit: BASE, text: "Keep it." });
    const { status, body } = await sendAll(session);
    expect([status, body]).toEqual([
      200,
      { success: true, message: "Prompt queued", prompt_id: expect.any(String) },
    ]);
    const [, prompt] = await promptsOf(session);
    const content = expect.stringMatching(
      /a\.ts, line 1 \(old side[\s\S]*\nold\n[\s\S]*Keep it\.[\s\S]*a\.ts, line 3 \(new side[\s\S]*\n````\n```\n````\n[\s\S]*And this\?/,
    );
    expect(prompt).toMatchObject({
      id: body.prompt_id,
      seq: 2,
      status: "Queued",
      data: [{ content, type: "text" }],
    });
    expect((await list(session)).comments).toMatchObject([
      { status: "sent", prompt_id: body.prompt_id },
      { status: "sent", prompt_id: body.prompt_id },
    ]);
    const { messages } = (await send("GET", `/sessions/${session}`)).body.session;
    expect(messages.at(-1)).toMatchObject({ role: "user", content, prompt_id: body.prompt_id });
    const again = await sendAll(session);
    expect([again.status, again.body.code]).toEqual([409, "no_open_comments"]);
  });

  test("are those that were named, with the words that were given", async () => {
    const session = await createSession();
    const ids = [(await comment(session)).body.id, (await comment(session)).body.id];
    const { prompt_id } = (
      await sendAll(session, { comment_ids: [ids[1].toUpperCase()], text: "Only this." })
    ).body;
    expect((await list(session)).comments).toMatchObject([{ status: "open" }, { status: "sent", prompt_id }]);
    expect((await promptsOf(session))[1].data[0].content).toStartWith("Only this.\n\n## 1. a.ts");
    const twice = await sendAll(session, { comment_ids: ids });
    expect([twice.status, twice.body.code]).toEqual([409, "comment_sent"]);
    expect((await list(session)).comments[0].status).toBe("open");
    const foreign = (await comment(await createSession())).body.id;
    for (const comment_ids of [[ids[0], foreign], [Bun.randomUUIDv7()]]) {
      const reply = await sendAll(session, { comment_ids });
      expect([reply.status, reply.body.code]).toEqual([404, "comment_not_found"]);
    }
    for (const body of [{ comment_ids: [] }, { comment_ids: ["x"] }, { text: "" }, { ids }])
      expect([body, (await sendAll(session, body)).status]).toEqual([body, 422]);
    expect(await promptsOf(session)).toHaveLength(2);
  });

  test("are not changed any more, but deleted; without its prompt a comment is open again", async () => {
    const session = await createSession();
    const ids = [(await comment(session)).body.id, (await comment(session)).body.id];
    const { prompt_id } = (await sendAll(session)).body;
    const changed = await send("PUT", `/comments/${ids[0]}`, { text: "Never mind." });
    expect([changed.status, changed.body.code]).toEqual([409, "comment_sent"]);
    expect((await send("DELETE", `/comments/${ids[0]}`)).status).toBe(200);
    await send("DELETE", `/prompts/${prompt_id}`);
    expect((await list(session)).comments).toMatchObject([{ id: ids[1], status: "open", prompt_id: null }]);
    expect((await sendAll(session)).status).toBe(200);
  });

  test("are in one prompt each, however many requests there are at once", async () => {
    const session = await createSession();
    const ids: string[] = [];
    for (let n = 0; n < 6; n += 1) ids.push((await comment(session, { text: `Comment ${n}.` })).body.id);
    const replies = await Promise.all([
      sendAll(session, { comment_ids: ids.slice(0, 4) }),
      sendAll(session, { comment_ids: ids.slice(2) }),
      sendAll(session),
      sendAll(session),
    ]);
    expect(replies.every(({ status }) => status === 200 || status === 409)).toBe(true);
    const prompts = (await promptsOf(session)).slice(1);
    expect(prompts).toHaveLength(replies.filter(({ status }) => status === 200).length);
    for (const { status, prompt_id, text } of (await list(session)).comments) {
      const quoting = prompts.filter(({ data }: { data: { content: string }[] }) =>
        data[0]?.content.includes(text),
      );
      expect([text, status, quoting.map(({ id }: { id: string }) => id)]).toEqual([
        text,
        "sent",
        [prompt_id],
      ]);
    }
  });

  test("revive an archived session, and count as a prompt", async () => {
    const session = await createSession();
    await comment(session);
    await send("POST", `/sessions/${session}/cancel`);
    await send("PUT", `/sessions/${session}`, { id: session, ui_status: "Archived" });
    expect((await sendAll(session)).status).toBe(200);
    expect((await send("GET", `/sessions/${session}`)).body.session.uiStatus).toBe("Pending");
  });

  test("of a user who has too many prompts stay open", async () => {
    const limited = commenting(database, undefined, {
      user: "greta",
      env: { MAX_UNFINISHED_PROMPTS: "1" },
    });
    const session = await limited.createSession();
    await limited.comment(session);
    const { status, body } = await limited.send("POST", `/sessions/${session}/comments/send`);
    expect([status, body.code]).toEqual([429, "prompt_quota_reached"]);
    expect((await limited.list(session)).comments).toMatchObject([{ status: "open", prompt_id: null }]);
  });
});
