import { expect, test } from "bun:test";
import { sql } from "drizzle-orm";
import { ask, makeApp } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";

describeEachDatabase("the quota of unfinished prompts", (database) => {
  test("is enforced by every operation that creates prompts, which then stores nothing", async () => {
    const app = makeApp({ database: database(), env: { MAX_UNFINISHED_PROMPTS: "2" } });
    const target = { repo: "owner/name", target_branch: "main" };
    const send = (path: string, body: object, user = "carol") => ask(app, user, "POST", path, body);
    const session = await send("/sessions", target);
    const create = { session_id: session.body.id, data: "go" };
    expect((await send("/sessions/with-prompt", { ...target, messages: "go" })).status).toBe(200);
    expect((await send("/prompts", create)).status).toBe(200);
    const before = (await ask(app, "carol", "GET", "/sessions")).body;
    for (const [path, body] of [
      ["/sessions/with-prompt", { ...target, messages: "go" }],
      ["/sessions", { ...target, messages: "go" }],
      ["/prompts", create],
    ] as const) {
      const reply = await send(path, body);
      expect([path, reply.status, reply.body.err, reply.body.code, reply.headers.get("retry-after")]).toEqual(
        [path, 429, "too_many_requests", "prompt_quota_reached", "60"],
      );
      expect(reply.body.msg).toContain("2 unfinished prompts");
    }
    expect((await ask(app, "carol", "GET", "/sessions")).body).toEqual(before);
    // A session without a prompt, and another user, have room.
    expect((await send("/sessions", target)).status).toBe(200);
    expect((await send("/sessions", { ...target, messages: "go" }, "dave")).status).toBe(200);
    await database().orm.execute(sql`update prompt set status = 'Completed' where user_id = 'carol'`);
    expect((await send("/prompts", create)).status).toBe(200);
  });
});
