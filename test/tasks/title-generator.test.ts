import { expect, test } from "bun:test";
import { readConfig } from "../../src/config/config.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { openSpend } from "../../src/spend/spend.ts";
import type { TaskContext } from "../../src/tasks/task.ts";
import { titleGenerator } from "../../src/tasks/title-generator.ts";
import { clientOf } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { noMetrics } from "../harness/metrics.ts";

describeEachDatabase("titles", (database) => {
  const { create, send } = clientOf(database);
  /** The task, with a model that answers every request with this. */
  const start = async (env: Record<string, string>, answer: () => Response) => {
    const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: answer });
    const logged: string[] = [];
    const logger = createLogger({ level: "info", write: (line) => void logged.push(line) });
    const key = { ANTHROPIC_API_KEY: "sk-test", ANTHROPIC_BASE_URL: `http://127.0.0.1:${server.port}` };
    const config = readConfig({ ...key, ...env });
    let handle: ((job: { session_id: string }) => Promise<void>) | undefined;
    const work = (options: { handle: typeof handle }) => {
      handle = options.handle;
      return { stop: async () => undefined };
    };
    const spend = openSpend({ config, database: database(), metrics: noMetrics(), logger });
    const queue = { work } as unknown as TaskContext["queue"];
    const task = await titleGenerator({
      config,
      database: database(),
      queue,
      spend,
      logger,
    } as unknown as TaskContext);
    return {
      logged,
      generate: (id: string) => handle?.({ session_id: id }),
      async [Symbol.asyncDispose]() {
        await task.stop();
        await server.stop(true);
      },
    };
  };
  const titleOf = async (id: string) => (await send("GET", `/sessions/${id}`)).body.session.title;
  const isMade = () =>
    Response.json({ type: "message", content: [{ type: "text", text: "Made by a model" }] });

  test("are asked for, and what is refused for good is said once and is no failure of the job", async () => {
    const [one, other] = [await create(), await create()];
    const derived = await titleOf(one.sessionId);
    for (const [env, reason] of [
      [{ MODELS_ALLOWED: "gpt-*" }, "may not be used here (MODELS_ALLOWED)"],
      [{ BUDGET_USD_PER_USER_DAY: "0.000000001" }, "more than the whole budget"],
    ] as const) {
      await using task = await start(env, isMade);
      // Cause: each new session logged "a job failed", as an error.
      await task.generate(one.sessionId);
      await task.generate(other.sessionId);
      expect(task.logged).toHaveLength(1);
      expect(task.logged[0]).toContain("titles are not generated");
      expect(task.logged[0]).toContain(reason);
      expect(await titleOf(one.sessionId)).toBe(derived);
    }
    await using task = await start({}, isMade);
    await task.generate(one.sessionId);
    expect(await titleOf(one.sessionId)).toBe("Made by a model");
  });

  test("an API that refuses its key is a failure", async () => {
    const { sessionId } = await create();
    await using task = await start({}, () => new Response("no", { status: 401 }));
    await expect(task.generate(sessionId)).rejects.toThrow("401");
  });
});
