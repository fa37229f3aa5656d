import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { message } from "../../src/db/tables.ts";
import { clientOf } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { claimRun, writerOf } from "../harness/seed.ts";

describeEachDatabase("messages", (database) => {
  const { send, create } = clientOf(database);

  test("are listed in order, with their sequence numbers", async () => {
    const { promptId } = await create();
    const run = await claimRun(database().orm, promptId);
    if (!run) throw new Error("not claimed");
    await writerOf(database().orm, run).append([{ type: "system" }, { type: "assistant", uuid: "1" }]);
    const { messages } = (await send("GET", `/prompts/${promptId}/messages`)).body;
    expect(messages).toMatchObject([
      { prompt_id: promptId, seq: 1, data: { type: "system" } },
      {
        prompt_id: promptId,
        seq: 2,
        data: { type: "assistant", uuid: "1" },
        created_at: expect.stringMatching(/Z$/),
      },
    ]);
    expect(await database().orm.$count(message, eq(message.promptId, promptId))).toBe(2);
  });

  test("are numbered without gaps, have unique uuids, and cannot be changed while the prompt runs", async () => {
    const { sessionId, promptId } = await create();
    const post = (data: unknown) => send("POST", "/messages", { prompt_id: promptId, data });
    // Whichever comes first: at once, each has its own number.
    const made = await Promise.all([{ uuid: "a" }, null, "text", [1]].map(post));
    expect(made.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    const list = async () => (await send("GET", `/prompts/${promptId}/messages`)).body.messages;
    expect((await list()).map(({ seq }: { seq: number }) => seq)).toEqual([1, 2, 3, 4]);
    expect((await post({ uuid: "a" })).status).toBe(409);
    const first = made[0]?.body.id;
    expect((await send("GET", `/messages/${first}`)).body.message).toMatchObject({
      id: first,
      prompt_id: promptId,
      data: { uuid: "a" },
    });
    expect((await send("PUT", `/messages/${first}`, { data: { uuid: "a", more: 1 } })).body.success).toBe(
      true,
    );
    expect((await send("PUT", `/messages/${made[1]?.body.id}`, { data: { uuid: "a" } })).status).toBe(409);
    expect((await send("PUT", `/messages/${made[1]?.body.id}`, { data: null })).status).toBe(200);
    const gone = (await list()).find(({ id }: { id: string }) => id === made[3]?.body.id).seq;
    expect((await send("DELETE", `/messages/${made[3]?.body.id}`)).body.success).toBe(true);
    await post("after");
    expect((await list()).map(({ seq }: { seq: number }) => seq)).toEqual(
      [1, 2, 3, 4, 5].filter((seq) => seq !== gone),
    );

    expect(await claimRun(database().orm, promptId)).toBeDefined();
    expect((await post("x")).status).toBe(409);
    expect((await send("PUT", `/messages/${first}`, { data: 1 })).status).toBe(409);
    expect((await send("DELETE", `/messages/${first}`)).status).toBe(409);
    expect(await database().orm.$count(message, eq(message.sessionId, sessionId))).toBe(4);
  });

  test("belong to the attempt in which they are written, and are superseded once the prompt starts over", async () => {
    const { promptId } = await create();
    const post = (data: unknown) => send("POST", "/messages", { prompt_id: promptId, data });
    const first = (await post("before")).body.id;
    const run = await claimRun(database().orm, promptId);
    if (!run) throw new Error("not claimed");
    const writer = writerOf(database().orm, run);
    await writer.append(["output"], { from: 0, to: 7 });
    await writer.beginAnew("note");
    await writer.handOver();
    await post("after");
    const { messages } = (await send("GET", `/prompts/${promptId}/messages`)).body;
    expect(messages).toMatchObject([
      { data: "before", attempt: 1, superseded: true },
      { data: "output", attempt: 1, superseded: true },
      { data: "note", attempt: 2, superseded: false },
      { data: "after", attempt: 2, superseded: false },
    ]);
    expect((await send("GET", `/messages/${first}`)).body.message).toMatchObject({ superseded: true });
  });
});
