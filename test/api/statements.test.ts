import { expect, test } from "bun:test";
import type { Orm } from "../../src/db/client.ts";
import { ask, makeApp } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";

/** What Drizzle tells of each statement that it sends. */
function statementsOf(orm: Orm): string[] {
  const sent: string[] = [];
  const logger = { logQuery: (text: string) => sent.push(text) };
  Object.assign((orm as unknown as { session: object }).session, { logger });
  return sent;
}

describeEachDatabase("the statements of a request", (database) => {
  test("are one for a read or a list with its version, and two to create a session with its prompt", async () => {
    const sent = statementsOf(database().orm);
    const app = makeApp({ database: database() });
    const countOf = async (
      method: string,
      path: string,
      body?: unknown,
      headers?: Record<string, string>,
    ) => {
      sent.length = 0;
      const reply = await ask(app, "alice", method, path, body, headers);
      expect([path, reply.status]).toEqual([path, headers ? 304 : 200]);
      return { ...reply, count: sent.length };
    };
    const wanted = { repo: "owner/name", target_branch: "main", messages: "Fix it" };
    const created = await countOf("POST", "/sessions/with-prompt", wanted);
    expect(created.count).toBe(2);
    const { sessionId, promptId } = created.body;
    const message = { prompt_id: promptId, data: "One" };
    const { body } = await ask(app, "alice", "POST", "/messages", message);
    for (const path of [
      "/sessions",
      "/sessions?limit=2",
      `/sessions/${sessionId}`,
      `/prompts/${promptId}`,
      `/sessions/${sessionId}/prompts`,
      `/sessions/${sessionId}/prompts?limit=2`,
      `/prompts/${promptId}/messages`,
      `/messages/${body.id}`,
    ]) {
      const { count, headers } = await countOf("GET", path);
      const etag = headers.get("etag") ?? "";
      const again = await countOf("GET", path, undefined, { "if-none-match": etag });
      expect([path, count, again.count]).toEqual([path, 1, 1]);
    }
  });
});
