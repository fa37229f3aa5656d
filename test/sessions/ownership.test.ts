import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { session } from "../../src/db/tables.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { realApp } from "../harness/real-app.ts";

const app = await realApp();
const { bob } = app;

describeEachDatabase("sessions of another user, and deleted ones", (database) => {
  const send = app.sendTo(database);
  const create = app.createIn(database);

  test("do not exist", async () => {
    const { sessionId, promptId } = await create();
    for (const [method, path, body] of [
      ["GET", `/sessions/${sessionId}`],
      ["GET", `/sessions/${sessionId}/prompts`],
      ["GET", `/prompts/${promptId}/messages`],
      ["POST", "/prompts", { session_id: sessionId, data: "x" }],
      ["POST", "/sessions", { repo: "owner/name", target_branch: "main", parent: sessionId }],
    ] as const) {
      expect({ path, status: (await send(method, path, { body, token: bob ?? "" })).status }).toEqual({
        path,
        status: 404,
      });
    }
    expect((await send("GET", "/sessions", { token: bob ?? "" })).body).toEqual({ sessions: [] });
    await database().orm.update(session).set({ deletedAt: new Date() }).where(eq(session.id, sessionId));
    expect((await send("GET", `/sessions/${sessionId}`)).status).toBe(404);
    expect((await send("GET", `/prompts/${promptId}/messages`)).status).toBe(404);
  });
});
