import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { outbox } from "../../src/db/service-tables.ts";
import { prompt } from "../../src/db/tables.ts";
import { clientOf } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { claimRun } from "../harness/seed.ts";

describeEachDatabase("changing prompts", (database) => {
  const { send, create } = clientOf(database);
  const read = async (id: string) => (await send("GET", `/sessions/${id}`)).body.session;

  test("a queued prompt can be updated and deleted, and the conversation changes with it", async () => {
    const { sessionId, promptId } = await create("First");
    const { id } = (await send("POST", "/prompts", { session_id: sessionId, data: "Second", priority: 3 }))
      .body;
    expect((await send("GET", `/prompts/${id}`)).body.prompt).toMatchObject({
      id,
      session_id: sessionId,
      data: "Second",
      seq: 2,
      priority: 3,
      error_kind: null,
      status: "Queued",
    });
    expect((await send("PUT", `/prompts/${id}`, { data: [{ content: "Third" }] })).body.success).toBe(true);
    expect((await send("GET", `/prompts/${id}`)).body.prompt.data).toEqual([{ content: "Third" }]);
    const texts = async () =>
      (await read(sessionId)).messages.map(({ content }: { content: string }) => content);
    expect(await texts()).toEqual(["First", "Third"]);
    expect((await send("PUT", `/prompts/${id}`, { data: [] })).status).toBe(422);

    expect(await claimRun(database().orm, promptId)).toBeDefined();
    expect((await send("PUT", `/prompts/${promptId}`, { data: "Too late" })).status).toBe(409);
    expect((await send("DELETE", `/prompts/${promptId}`)).status).toBe(409);
    expect((await send("DELETE", `/prompts/${id}`)).body.success).toBe(true);
    expect((await send("GET", `/prompts/${id}`)).status).toBe(404);
    expect(await texts()).toEqual(["First"]);
    expect((await read(sessionId)).uiStatus).toBe("InProgress");
  });

  test("deleting the next prompt dispatches the one after it; deleting the last one restores the session's status", async () => {
    const { sessionId, promptId } = await create("First");
    const { id } = (await send("POST", "/prompts", { session_id: sessionId, data: "Second" })).body;
    await database().orm.delete(outbox);
    await send("DELETE", `/prompts/${promptId}`);
    expect(await database().orm.$count(outbox, eq(outbox.key, id))).toBe(1);
    expect((await read(sessionId)).inboxStatus).toBe("Pending");
    await database().orm.update(prompt).set({ status: "Completed" }).where(eq(prompt.id, id));
    const { id: third } = (await send("POST", "/prompts", { session_id: sessionId, data: "Third" })).body;
    await send("DELETE", `/prompts/${third}`);
    expect((await read(sessionId)).inboxStatus).toBe("Completed");
  });

  test("a priority within the limits is stored with the prompt", async () => {
    const wanted = { repo: "owner/name", target_branch: "main", messages: "go" };
    for (const priority of [-10, 10]) {
      const { promptId } = (await send("POST", "/sessions/with-prompt", { ...wanted, priority })).body;
      expect((await send("GET", `/prompts/${promptId}`)).body.prompt.priority).toBe(priority);
    }
    const { id } = (await send("POST", "/sessions", { ...wanted, priority: 4 })).body;
    expect((await send("GET", `/sessions/${id}/prompts`)).body.prompts[0].priority).toBe(4);
    for (const priority of [11, -11, 1.5, "1"])
      expect((await send("POST", "/sessions", { ...wanted, priority })).status).toBe(422);
  });
});
