import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { readConfig } from "../../src/config/config.ts";
import { createInputBound } from "../../src/spend/input-bound.ts";
import { createMeter } from "../../src/spend/meter.ts";
import { spendRules } from "../../src/spend/spend.ts";
import type { CallResult } from "../../src/spend/store.ts";
import { noMetrics } from "../harness/metrics.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { until } from "../harness/until.ts";
import { openProxyForEachTest } from "./upstream.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

afterEach(() => settled.splice(0));

const { opened, post } = openProxyForEachTest();
/** What the calls were found to be, which the proxy reads as they pass. */
const settled: CallResult[] = [];
const ledger = {
  ...{
    reserve: async () => undefined,
    progress: () => undefined,
    before: async () => undefined,
    waiting: () => 0,
    close: async () => undefined,
  },
  settle: async (call: CallResult) => void settled.push(call),
};
const meter = createMeter({
  ...{ api: "anthropic", rules: spendRules(readConfig({})), ledger, metrics: noMetrics() },
  account: { promptId: "p", epoch: 1, sessionId: "s", userId: "u", repo: "r", agent: "claude" },
  inputBound: createInputBound(),
});
const granted = () => ({ "x-api-key": opened.proxy.grant({ id: "run", meter }).token });

/**
 * Caches of an API are found by the request's bytes, and signatures are of an answer's. Each of these is another text once it has
 * been parsed and printed again.
 */
const BODIES: readonly [what: string, body: string][] = [
  [
    "marks for the cache",
    '{"model":"m","system":[{"type":"text","text":"x","cache_control":{"type":"ephemeral","ttl":"1h"}}],"messages":[]}',
  ],
  ["odd white space", '\r\n\t {\n  "model" :\t"m" ,\r\n"messages":[ ]\n}\n\n '],
  [
    "escapes",
    '{"model":"\\u006d","messages":[{"role":"user","content":"\\u00e4\\/\\ud83d\\ude00\\u2028ä😀"}]}',
  ],
  ["half of a pair", '{"model":"m","messages":[{"role":"user","content":"\\ud83d"}]}'],
  [
    "the order of keys, with numbers among them",
    '{"messages":[],"z":1,"10":1,"9":1,"model":"m","a":{"2":0,"1":0}}',
  ],
  [
    "numbers",
    '{"model":"m","temperature":1.0,"max_tokens":1e3,"seed":12345678901234567890,"x":-0,"messages":[]}',
  ],
  [
    "unknown fields, and names of prototypes",
    '{"model":"m","messages":[],"__proto__":{"a":1},"constructor":2,"new":{}}',
  ],
  ["keys twice, below the top", '{"model":"m","messages":[],"metadata":{"a":1,"a":2}}'],
];

test.each(BODIES)("a request arrives as it was sent: %s", async (_what, body) => {
  const headers = {
    ...granted(),
    "anthropic-beta": "prompt-caching-2024-07-31,context-1m-2025-08-07",
    "content-type": "application/json; charset=UTF-8",
    "X-Stainless-Retry-Count": "0",
  };
  const sent = Buffer.from(body);
  expect((await post(headers, "/v1/messages?beta=true", { body: sent })).status).toBe(200);
  const [seen] = opened.upstream.seen;
  expect(Buffer.from(seen?.bytes ?? [])).toEqual(sent);
  expect(seen?.path).toBe("/prefix/v1/messages?beta=true");
  for (const name of ["anthropic-beta", "content-type", "x-stainless-retry-count"] as const)
    expect([name, seen?.headers.get(name)]).toEqual([
      name,
      Object.entries(headers).find(([one]) => one.toLowerCase() === name)?.[1] ?? "",
    ]);
});

test("a request that comes in pieces, within a character and an escape, arrives as it was sent", async () => {
  const body = Buffer.from('{"model":"m","messages":[{"role":"user","content":"ä\\u00e4😀"}]}');
  const { "x-api-key": token } = granted();
  const socket = connect(Number(new URL(opened.proxy.url).port), "127.0.0.1").setNoDelay(true);
  socket.write(
    `POST /v1/messages HTTP/1.1\r\nHost: x\r\nX-Api-Key: ${token}\r\nContent-Length: ${body.length}\r\n\r\n`,
  );
  for (const byte of body) {
    socket.write(new Uint8Array([byte]));
    await Bun.sleep(0);
  }
  await until(() => opened.upstream.seen.length === 1, { what: "the request" });
  socket.destroy();
  expect(Buffer.from(opened.upstream.seen[0]?.bytes ?? [])).toEqual(body);
});

const EVENTS = [
  ": a comment\r\n\r\n",
  'event: message_start\ndata: {"type":"message_start","message":{"model":"m","usage":{"input_tokens":1}}}\n\n',
  'event:content_block_delta\r\ndata:  {"delta" : {"type":"text_delta","text":"ä😀\\u00e4\u2028"}}\r\n\r\n',
  "data: not JSON\nid: 7\nretry: 10\n\n",
  'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":20}}\n\n',
  "data: [DONE]\n\n",
  "and what follows the end, without a line's end \u0000",
];

/** As an upstream sends it that knows nothing of characters. */
function inPieces(bytes: Uint8Array, size: number): Response {
  let at = 0;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      await Bun.sleep(0);
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(at, at + size));
      at += size;
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}

test.each([1, 2, 3, 7, 64, 10_000])(
  "an answer arrives as it was sent, in pieces of %i bytes",
  async (size) => {
    // No text: some bytes of it are of no character.
    const bytes = Buffer.concat([Buffer.from(EVENTS.join("")), Buffer.from([0xff, 0xc3, 0x28, 0xf0, 0x9f])]);
    opened.upstream.answer(() => inPieces(bytes, size));
    const reply = await post(granted());
    expect(reply.headers.get("content-type")).toBe("text/event-stream");
    expect(Buffer.from(await reply.bytes())).toEqual(bytes);
    await until(() => settled.length > 0, { what: "the end of the call" });
    expect(settled.pop()).toMatchObject({
      status: "done",
      estimated: false,
      tokens: { input: 1, output: 20 },
    });
  },
);

test("an answer that is no stream arrives as it was sent", async () => {
  const body = ' {"type" : "message",\r\n "content":[ ], "usage":{"output_tokens":2.0}}\n';
  opened.upstream.answer(() => new Response(body, { headers: { "content-type": "application/json" } }));
  const reply = await post(granted());
  expect(await reply.text()).toBe(body);
});
