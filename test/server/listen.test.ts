import { expect, setDefaultTimeout, test } from "bun:test";
import { listen } from "../../src/server/listen.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

test("a stream may be idle for longer than other connections", async () => {
  const stream = () =>
    new ReadableStream({
      async start(controller) {
        controller.enqueue(new TextEncoder().encode(": begun\n\n"));
        // Bun looks at idle connections every 4 s.
        await Bun.sleep(5_500);
        controller.enqueue(new TextEncoder().encode(": ended\n\n"));
        controller.close();
      },
    });
  const app = {
    fetch: () => new Response(stream(), { headers: { "content-type": "text/event-stream; charset=utf-8" } }),
  };
  const server = await listen({ app, host: "127.0.0.1", port: 0, idleTimeoutS: 1 });
  try {
    expect(await (await fetch(server.url)).text()).toBe(": begun\n\n: ended\n\n");
  } finally {
    await server.stop();
  }
}, 20_000);
