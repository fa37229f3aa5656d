import { describe, expect, test } from "bun:test";
import { readAnswer } from "../../src/spend/answers.ts";
import { NO_TOKENS } from "../../src/spend/prices.ts";

const EVENTS = "text/event-stream; charset=utf-8";
type Api = Parameters<typeof readAnswer>[0];

function read(api: Api, contentType: string, body: string, size = body.length || 1) {
  const reader = readAnswer(api, contentType);
  const bytes = Buffer.from(body);
  for (let at = 0; at < bytes.length; at += size) reader.push(bytes.subarray(at, at + size));
  reader.end();
  return reader.soFar();
}
const events = (...list: unknown[]) =>
  list.map((one) => `event: x\r\ndata: ${JSON.stringify(one)}\r\n\r\n`).join("");

const START = {
  type: "message_start",
  message: {
    model: "claude-x-1",
    usage: {
      ...{
        input_tokens: 10,
        output_tokens: 1,
        cache_read_input_tokens: 100,
        cache_creation_input_tokens: 50,
      },
      ...{
        cache_creation: { ephemeral_5m_input_tokens: 20, ephemeral_1h_input_tokens: 30 },
        service_tier: "standard",
      },
    },
  },
};
const DELTA = { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "12345678ä" } };
const END = { type: "message_delta", delta: { stop_reason: "end_turn" }, usage: { output_tokens: 42 } };
const INPUT = { input: 10, cacheRead: 100, cacheWrite: 20, cacheWrite1h: 30 };

describe("what an answer says of its usage", () => {
  test("Anthropic's, streamed, however it is cut into chunks", () => {
    for (const size of [1, 7, 10_000])
      expect(
        read(
          "anthropic",
          EVENTS,
          events(START, { type: "ping" }, DELTA, END, { type: "message_stop" }),
          size,
        ),
      ).toEqual({
        ...{ model: "claude-x-1", tokens: { ...NO_TOKENS, ...INPUT, output: 42 }, besides: [] },
        tiers: { service_tier: "standard" },
        ...{ knowsInput: true, isComplete: true, characters: 9, error: undefined, isRefused: false },
      });
  });

  test("Anthropic's, broken off: the input is known, the output is what passed", () => {
    expect(read("anthropic", EVENTS, events(START, DELTA))).toMatchObject({
      ...{ tokens: { ...INPUT, output: 1 }, knowsInput: true, isComplete: false, characters: 9 },
    });
  });

  test("Anthropic's, as one JSON text, and one of an older API without durations", () => {
    const usage = {
      input_tokens: 3,
      output_tokens: 4,
      cache_creation_input_tokens: 5,
      server_tool_use: { web_search_requests: 2 },
    };
    expect(
      read("anthropic", "application/json", JSON.stringify({ type: "message", model: "m", usage }), 9),
    ).toMatchObject({
      tokens: { ...NO_TOKENS, input: 3, output: 4, cacheWrite: 5, webSearches: 2 },
      isComplete: true,
    });
  });

  test("an answer that fails after it has begun says why", () => {
    const error = (type: string) => ({ type: "error", error: { type, message: "Overloaded" } });
    expect(read("anthropic", EVENTS, events(START, DELTA, error("overloaded_error")))).toMatchObject({
      ...{ error: "overloaded", isComplete: false, characters: 9, tokens: INPUT },
    });
    expect(read("anthropic", EVENTS, events(START, error("api_error"))).error).toBe("other");
    const failed = (code: string) => ({
      type: "response.failed",
      response: { error: { code, message: "" } },
    });
    expect(read("openai", EVENTS, events(failed("rate_limit_exceeded"))).error).toBe("overloaded");
    expect(read("openai", EVENTS, events({ type: "error", code: "server_error", message: "" })).error).toBe(
      "other",
    );
    expect(read("google", EVENTS, events({ error: { code: 503, status: "UNAVAILABLE" } })).error).toBe(
      "overloaded",
    );
    // As OpenAI's API says that there was none.
    expect(
      read("openai", EVENTS, events({ type: "response.created", response: { error: null } })).error,
    ).toBe(undefined);
  });

  test("the model declines, before its first word or after it", () => {
    const declined = { ...END, delta: { stop_reason: "refusal" } };
    expect(read("anthropic", EVENTS, events(START, declined))).toMatchObject({
      isRefused: true,
      characters: 0,
    });
    expect(read("anthropic", EVENTS, events(START, DELTA, declined))).toMatchObject({
      isRefused: true,
      characters: 9,
    });
    const body = {
      type: "message",
      content: [],
      stop_reason: "refusal",
      usage: { input_tokens: 3, output_tokens: 0 },
    };
    expect(read("anthropic", "application/json", JSON.stringify(body))).toMatchObject({
      isRefused: true,
      characters: 0,
    });
  });

  test("the seal of a thought is not output, the thought is", () => {
    const of = (delta: object) => ({ type: "content_block_delta", index: 0, delta });
    const body = events(
      START,
      of({ type: "thinking_delta", thinking: "1234" }),
      of({ type: "signature_delta", signature: "x".repeat(400) }),
    );
    expect(read("anthropic", EVENTS, body).characters).toBe(4);
  });

  test("OpenAI's chat completions, streamed with and without usage, and responses", () => {
    const chunk = (content: string) => ({ model: "gpt-x", choices: [{ delta: { content } }] });
    const usage = { prompt_tokens: 100, completion_tokens: 7, prompt_tokens_details: { cached_tokens: 60 } };
    expect(
      read(
        "openai",
        EVENTS,
        `${events(chunk("abcd"), { model: "gpt-x", choices: [], usage })}data: [DONE]\n\n`,
      ),
    ).toMatchObject({
      ...{ tokens: { ...NO_TOKENS, input: 40, cacheRead: 60, output: 7 }, isComplete: true, model: "gpt-x" },
    });
    expect(read("openai", EVENTS, `${events(chunk("abcd"))}data: [DONE]\n\n`)).toMatchObject({
      ...{ knowsInput: false, isComplete: false, characters: 4 },
    });
    const response = {
      model: "gpt-y",
      usage: { input_tokens: 9, input_tokens_details: { cached_tokens: 4 }, output_tokens: 2 },
    };
    expect(
      read(
        "openai",
        EVENTS,
        events(
          { type: "response.output_text.delta", delta: "xyz" },
          { type: "response.completed", response },
        ),
      ),
    ).toMatchObject({
      tokens: { input: 5, cacheRead: 4, output: 2 },
      isComplete: true,
      characters: 3,
      model: "gpt-y",
    });
  });

  test("Google's, streamed and as a list", () => {
    const part = (text: string, more = {}) => ({
      modelVersion: "g",
      candidates: [{ content: { parts: [{ text }] }, ...more }],
    });
    const usageMetadata = {
      promptTokenCount: 10,
      cachedContentTokenCount: 4,
      candidatesTokenCount: 3,
      thoughtsTokenCount: 2,
    };
    const all = [part("abc"), { ...part("de", { finishReason: "STOP" }), usageMetadata }];
    for (const found of [
      read("google", EVENTS, events(...all)),
      read("google", "application/json", JSON.stringify(all)),
    ])
      expect(found).toMatchObject({
        ...{
          tokens: { ...NO_TOKENS, input: 6, cacheRead: 4, output: 5 },
          isComplete: true,
          characters: 5,
          model: "g",
        },
      });
  });

  /** Cause: of a body that was no JSON nothing was read, so that who hung up before the last byte had it for nothing. */
  test("of a body that is cut off, all that has passed is output", () => {
    const message = JSON.stringify({ type: "message", content: [{ type: "text", text: "x".repeat(400) }] });
    for (const api of ["anthropic", "openai", "google"] as const)
      expect(read(api, "application/json", message.slice(0, 300), 7)).toMatchObject({
        ...{ characters: 300, knowsInput: false, isComplete: false },
      });
    const without = { choices: [{ message: { role: "assistant", content: "12345678" } }] };
    expect(read("openai", "application/json", JSON.stringify(without))).toMatchObject({
      ...{ characters: 8, isComplete: false },
    });
  });

  /** Cause: the usage of a call is without that of its compaction and of its advisor, which are on the bill. */
  test("what was used in other steps of a call is there besides", () => {
    const iterations = [
      { type: "compaction", input_tokens: 180_000, output_tokens: 3500 },
      { type: "message", input_tokens: 10, output_tokens: 42 },
      { type: "advisor_message", model: "claude-big", input_tokens: 7, cache_read_input_tokens: 5 },
    ];
    const end = { ...END, usage: { output_tokens: 42, iterations } };
    expect(read("anthropic", EVENTS, events(START, DELTA, end))).toMatchObject({
      tokens: { ...INPUT, output: 42 },
      besides: [
        { model: undefined, tokens: { ...NO_TOKENS, input: 180_000, output: 3500 } },
        { model: "claude-big", tokens: { ...NO_TOKENS, input: 7, cacheRead: 5 } },
      ],
    });
  });

  /** Cause: the last event's tier alone was kept, and with it half of the price. */
  test("an event that names one tier leaves the others", () => {
    const usage = { ...START.message.usage, inference_geo: "us", speed: "fast" };
    const end = { ...END, usage: { output_tokens: 1, service_tier: "priority" } };
    expect(read("anthropic", EVENTS, events({ ...START, message: { usage } }, end)).tiers).toEqual({
      ...{ service_tier: "priority", speed: "fast", inference_geo: "us" },
    });
  });

  test("searches of OpenAI's and Google's own tools are counted as they are charged", () => {
    const searched = { type: "web_search_call", action: { type: "search", queries: ["a", "b"] } };
    const opened = { type: "web_search_call", action: { type: "open_page" } };
    const done = (item: object) => ({ type: "response.output_item.done", item });
    const added = { type: "response.output_item.added", item: searched };
    const response = { output: [searched, opened, searched], usage: { input_tokens: 1, output_tokens: 1 } };
    const passed = [added, done(searched), done(opened), added, done(searched)];
    for (const found of [
      read("openai", EVENTS, events(...passed)),
      read("openai", EVENTS, events(...passed, { type: "response.completed", response })),
      read("openai", "application/json", JSON.stringify(response)),
    ])
      expect(found.tokens.webSearches).toBe(2);
    const grounded = (modelVersion: string) => ({
      modelVersion,
      candidates: [{ groundingMetadata: { webSearchQueries: ["a", "", "b", "a"] } }],
      usageMetadata: { promptTokenCount: 1 },
    });
    expect(read("google", EVENTS, events(grounded("gemini-3-flash"))).tokens.webSearches).toBe(2);
    expect(read("google", EVENTS, events(grounded("gemini-2.5-flash"))).tokens.webSearches).toBe(1);
  });

  test("an event may be written in several lines, and its content type in capitals", () => {
    const lines = JSON.stringify(START, null, 1).replace(/^/gm, "data: ");
    const body = `event: x\r\n${lines.replaceAll("\n", "\r\n")}\r\n\r\n${events(DELTA, END)}`;
    for (const size of [1, 10_000])
      expect(read("anthropic", "Text/Event-Stream", body, size)).toMatchObject({
        ...{ tokens: { ...NO_TOKENS, ...INPUT, output: 42 }, characters: 9, isComplete: true },
      });
    // The last event without an empty line behind it.
    expect(
      read("anthropic", EVENTS, JSON.stringify(START, null, 1).replace(/^/gm, "data: ")).knowsInput,
    ).toBe(true);
  });

  /** Cause: the database keeps no such text, so that what the call had cost could never be stored. */
  test("a model's name that no database keeps is none", () => {
    for (const model of ["a\0b", "\ud83d", "x".repeat(201)])
      expect(read("openai", EVENTS, events({ model, choices: [] })).model).toBe(undefined);
  });

  test("what is no number of tokens counts as nothing, and what cannot be read does no harm", () => {
    for (const odd of [-1, 1e308, "7", null])
      expect(
        read("anthropic", EVENTS, events({ ...END, usage: { output_tokens: odd } })).tokens.output,
      ).toBeLessThanOrEqual(1e9);
    for (const body of [
      "data: {",
      "data: null\n\n",
      "data: 7\n",
      "\0\0",
      "data: [[]]\n",
      events({ message: [] }),
    ])
      expect(read("anthropic", EVENTS, body)).toMatchObject({ tokens: NO_TOKENS, isComplete: false });
  });
});
