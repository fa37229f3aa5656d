/**
 * A model's API as slow as a real one, in a process of its own: it thinks before the first event, and then sends one event after the
 * other. Tells its caller how long it has thought, so that this is not counted as the way there and back.
 */
const encoder = new TextEncoder();
const event = (type: string, data: object) =>
  encoder.encode(`event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`);

const usage = { input_tokens: 12, cache_read_input_tokens: 40_000, cache_creation_input_tokens: 900 };
const start = event("message_start", {
  message: {
    id: "msg_bench",
    type: "message",
    role: "assistant",
    model: "claude-sonnet-4-5",
    content: [],
    usage,
  },
});
const delta = event("content_block_delta", {
  index: 0,
  delta: { type: "text_delta", text: " some words of an answer, as they come" },
});
const end = event("message_delta", { delta: { stop_reason: "end_turn" }, usage: { output_tokens: 800 } });

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  idleTimeout: 0,
  maxRequestBodySize: 64 * 1024 * 1024,
  async fetch(request) {
    await request.bytes();
    const arrived = performance.now();
    const [thinksMs, events, gapMs] = (request.headers.get("x-bench") ?? "0,1,0").split(",").map(Number) as [
      number,
      number,
      number,
    ];
    if (thinksMs > 0) await Bun.sleep(thinksMs);
    let left = events;
    const body = new ReadableStream({
      async pull(controller) {
        if (left === events) controller.enqueue(start);
        else if (left > 0) {
          if (gapMs > 0) await Bun.sleep(gapMs);
          controller.enqueue(delta);
        } else {
          controller.enqueue(end);
          return controller.close();
        }
        left -= 1;
      },
    });
    const thoughtMs = (performance.now() - arrived).toFixed(3);
    return new Response(body, {
      headers: { "content-type": "text/event-stream", "x-thought-ms": thoughtMs },
    });
  },
});
process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${server.port}` })}\n`);
