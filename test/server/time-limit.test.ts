import { expect, setDefaultTimeout, test } from "bun:test";
import { readConfig } from "../../src/config/config.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { type FetchHandler, withTimeLimit } from "../../src/server/time-limit.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const UI = "https://ui.example.com";
const config = readConfig({ CORS_ORIGINS: UI });
const limited = (app: FetchHandler, timeoutMs: number, logged: string[] = []) =>
  withTimeLimit({
    app,
    config,
    timeoutMs,
    logger: createLogger({ level: "error", write: (line) => void logged.push(line) }),
  }).fetch(
    new Request("http://localhost/sessions?x=secret", { headers: { origin: UI, "x-request-id": "mine" } }),
  );

test("a request that times out is 503 with CORS headers, and logged", async () => {
  const logged: string[] = [];
  const reply = await limited({ fetch: () => new Promise(() => undefined) }, 5, logged);
  expect([reply.status, reply.headers.get("retry-after"), await reply.json()]).toEqual([
    503,
    "5",
    {
      err: "unavailable",
      code: "request_timeout",
      msg: expect.stringContaining("longer than"),
      request_id: "mine",
    },
  ]);
  expect(reply.headers.get("access-control-allow-origin")).toBe(UI);
  expect(logged).toHaveLength(1);
  expect(logged[0]).toContain('"request_id":"mine"');
  expect(logged[0]).not.toContain("secret");
});

test("a reply that has begun may take longer", async () => {
  const stream = new ReadableStream({
    async start(controller) {
      await Bun.sleep(40);
      controller.enqueue(new TextEncoder().encode("late"));
      controller.close();
    },
  });
  const reply = await limited({ fetch: async () => new Response(stream) }, 10);
  expect([reply.status, await reply.text()]).toEqual([200, "late"]);
  expect(await (await limited({ fetch: () => new Response("now") }, 0)).text()).toBe("now");
});
