import { expect, test } from "bun:test";
import { listen } from "../../src/server/listen.ts";
import { withWholeReplies } from "../../src/server/whole-replies.ts";

/** Asks for a reply of this many bytes that is made after an `await`, and says how long it is. */
async function ask(bytes: number, method = "GET") {
  const late = async () => {
    await new Promise(setImmediate);
    const headers = { "content-type": "application/json", "content-length": String(bytes) };
    return new Response(method === "HEAD" ? null : "x".repeat(bytes), { headers });
  };
  const server = await listen({ app: withWholeReplies({ fetch: late }), host: "127.0.0.1", port: 0 });
  try {
    const reply = await fetch(server.url, { method });
    const { headers } = reply;
    return {
      bytes: (await reply.bytes()).length,
      type: headers.get("content-type"),
      length: headers.get("content-length"),
      chunked: headers.get("transfer-encoding"),
    };
  } finally {
    await server.stop();
  }
}

test("a long late reply is sent as a stream, which Bun does not send in pieces; a short one and a HEAD have their length", async () => {
  const type = "application/json";
  expect(await ask(26_000)).toEqual({ bytes: 26_000, type, length: null, chunked: "chunked" });
  expect(await ask(5_000)).toEqual({ bytes: 5_000, type, length: "5000", chunked: null });
  expect(await ask(26_000, "HEAD")).toMatchObject({ bytes: 0, length: "26000" });
});
