import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { session } from "../../src/db/tables.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { realApp } from "../harness/real-app.ts";

const app = await realApp();
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

describeEachDatabase("creating follow-up prompts", (database) => {
  const send = app.sendTo(database);
  const create = app.createIn(database);

  test("a follow-up is stored as sent, in every accepted form, and reactivates an archived session", async () => {
    const { sessionId } = await create();
    await database()
      .orm.update(session)
      .set({ sessionStatus: "Completed", cancellationStatus: "Cancelled" })
      .where(eq(session.id, sessionId));
    const forms = ["text", { content: "x" }, [{ content: "y", type: "text" }]];
    for (const data of forms)
      expect((await send("POST", "/prompts", { body: { session_id: sessionId, data } })).body).toMatchObject({
        success: true,
        id: expect.stringMatching(UUID),
      });
    const { prompts } = (await send("GET", `/sessions/${sessionId}/prompts`)).body;
    expect(prompts.map(({ data }: { data: unknown }) => data)).toEqual([
      [{ content: "Fix the login timeout" }],
      ...forms,
    ]);
    expect(prompts.map(({ seq }: { seq: number }) => seq)).toEqual([1, 2, 3, 4]);
    expect(prompts[0]).toMatchObject({
      id: expect.stringMatching(UUID),
      session_id: sessionId,
      created_at: expect.stringMatching(/Z$/),
      updated_at: expect.stringMatching(/Z$/),
    });
    const { session: dto } = (await send("GET", `/sessions/${sessionId}`)).body;
    expect(dto).toMatchObject({ uiStatus: "Pending", cancellationStatus: null });
    expect(dto.messages.map(({ content }: { content: string }) => content)).toEqual([
      "Fix the login timeout",
      "text",
      "x",
      "y",
    ]);
  });
});
