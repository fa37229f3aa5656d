import { describe, expect, test } from "bun:test";
import { createInputBound } from "../../src/spend/input-bound.ts";
import { readObject } from "../../src/spend/json-object.ts";
import { NO_TOKENS } from "../../src/spend/prices.ts";
import { readRequest } from "../../src/spend/requests.ts";

const bytes = (value: unknown) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
const MESSAGES = "/v1/messages";

describe("a request's body", () => {
  test("is a JSON object in which no key is twice, also where one is written with an escape", () => {
    expect(readObject(bytes('{"a":{"b":1,"b":2},"c":["a","a"],"d":"\\"a\\\\"}'))).toMatchObject({
      c: ["a", "a"],
    });
    for (const [body, problem] of [
      ['{"model":"cheap","model":"dear"}', '"model" twice'],
      ['{"model":"cheap","x":[{"y":"\\""}],"mod\\u0065l":"dear"}', '"model" twice'],
      ['{"a":{},"b":[[]],"a":1}', '"a" twice'],
      [
        '{"generationConfig":{"maxOutputTokens":1,"a":[{}],"maxOutputTokens":9},"b":1}',
        '"maxOutputTokens" twice',
      ],
      ['{"generation_config":{"maxOutputTokens":1,"MaxOutputTokens":9}}', '"MaxOutputTokens" twice'],
      ['["model"]', "JSON object"],
      ['{"model":', "not valid JSON"],
    ] as const)
      expect(() => readObject(bytes(body))).toThrow(problem);
  });

  test("says model, output, caches and tier in the words of each API", () => {
    expect(
      readRequest(
        "anthropic",
        MESSAGES,
        bytes({
          ...{ model: "m", max_tokens: 50, service_tier: "auto", speed: "fast" },
          system: [{ type: "text", text: "x", cache_control: { type: "ephemeral", ttl: "1h" } }],
        }),
      ),
    ).toMatchObject({
      model: "m",
      maxOutput: 50,
      writes: "1h",
      tiers: { service_tier: "auto", speed: "fast" },
    });
    expect(readRequest("anthropic", "/v1/messages/count_tokens", bytes({ model: "m" })).isFree).toBe(true);
    expect(
      readRequest(
        "openai",
        "/v1/chat/completions",
        bytes({ model: "m", n: 3, max_tokens: 5, max_completion_tokens: 9 }),
      ),
    ).toMatchObject({ maxOutput: 9, answers: 3, writes: "5m" });
    expect(
      readRequest(
        "google",
        "/v1beta/models/gemini-x:generateContent",
        bytes({
          generationConfig: { maxOutputTokens: 7 },
          generation_config: { max_output_tokens: 9, candidate_count: 2 },
        }),
      ),
    ).toMatchObject({ model: "gemini-x", maxOutput: 9, answers: 2, writes: "none" });
  });

  test("that brings input which is not in it is known, and a tool whose parameter is a url is not", () => {
    const more = (part: unknown) =>
      readRequest("anthropic", MESSAGES, bytes({ model: "m", messages: [{ role: "user", content: [part] }] }))
        .bringsMore;
    const image = (source: unknown) => ({ type: "image", source });
    expect(more(image({ type: "base64", media_type: "image/png", data: "AAAA" }))).toBe(false);
    expect(
      more({ type: "tool", input_schema: { properties: { url: { type: "string" } }, required: ["url"] } }),
    ).toBe(false);
    expect(more(image({ type: "url", url: "https://x.example/a.png" }))).toBe(true);
    expect(
      more({ type: "document", source: { type: "base64", media_type: "application/pdf", data: "AA" } }),
    ).toBe(true);
    expect(more(image({ type: "file", file_id: "file_1" }))).toBe(true);
    const search = readRequest(
      "anthropic",
      MESSAGES,
      bytes({ model: "m", tools: [{ type: "web_search_20250305", max_uses: 2 }] }),
    );
    expect([search.bringsMore, search.searches]).toEqual([true, 2]);
    expect(
      readRequest("openai", "/v1/responses", bytes({ model: "m", previous_response_id: "r" })).bringsMore,
    ).toBe(true);
  });

  /** Cause: a limit that the path does not know, and its API may ignore, was taken for the limit. */
  test("is limited by what its path knows", () => {
    const limits = bytes({ model: "m", max_output_tokens: 1, max_tokens: 50 });
    expect(readRequest("openai", "/v1/chat/completions", limits).maxOutput).toBe(50);
    expect(readRequest("openai", "/v1/responses", limits).maxOutput).toBe(1);
    expect(readRequest("openai", "/v1/responses", bytes({ model: "m", max_tokens: 50 })).maxOutput).toBe(
      undefined,
    );
  });

  test("names the models that may answer, advise or shorten the conversation besides", () => {
    const others = (more: object) =>
      readRequest("anthropic", MESSAGES, bytes({ model: "m", ...more })).others;
    expect(others({ fallbacks: [{ model: "a" }, "b"], models: ["c"] })).toEqual(
      ["a", "b", "c"].map((model) => ({ model, uses: 1 })),
    );
    for (const fallbacks of [null, "default", "off", []]) expect(others({ fallbacks })).toEqual([]);
    for (const fallbacks of [7, {}, [{}], [7]]) expect(() => others({ fallbacks })).toThrow('"fallbacks"');
    const advisor = { type: "advisor_20260301", name: "advisor", model: "big" };
    expect(others({ tools: [advisor, { ...advisor, max_uses: 3 }] })).toEqual([
      { model: "big", uses: 1 },
      { model: "big", uses: 3 },
    ]);
    expect(others({ context_management: { edits: [{ type: "compact_20260112" }] } })).toEqual([
      { model: "m", uses: 1 },
    ]);
  });

  /** Cause: a picture of one color has a hundred times more tokens than bytes. */
  test("has more tokens than bytes for a small picture", () => {
    const pictures = (api: "anthropic" | "openai" | "google", path: string, ...content: object[]) =>
      readRequest(api, path, bytes({ ...(api !== "google" && { model: "m" }), messages: [{ content }] }))
        .pictures;
    const data = "A".repeat(400);
    const source = { type: "base64", media_type: "image/png", data };
    expect(pictures("anthropic", MESSAGES, { type: "image", source }, { type: "image", source })).toBe(
      19_200,
    );
    const big = { ...source, data: "A".repeat(20_000) };
    expect(pictures("anthropic", MESSAGES, { type: "image", source: big })).toBe(0);
    const url = `data:image/png;base64,${data}`;
    expect(pictures("openai", "/v1/responses", { type: "input_image", image_url: url })).toBe(9_578);
    expect(pictures("openai", "/v1/chat/completions", { type: "image_url", image_url: { url } })).toBe(9_578);
    const path = "/v1beta/models/g:generateContent";
    expect(pictures("google", path, { inlineData: { mimeType: "image/png", data } })).toBe(9_600);
  });

  test("may search with Google's and OpenAI's own tools", () => {
    const path = "/v1beta/models/g:generateContent";
    const google = readRequest(
      "google",
      path,
      bytes({ tools: [{ google_search: {} }, { codeExecution: {} }] }),
    );
    expect([google.bringsMore, google.searches]).toEqual([true, 10]);
    expect(readRequest("google", path, bytes({ tools: [{ codeExecution: {} }] }))).toMatchObject({
      ...{ bringsMore: true, searches: 0 },
    });
    const chat = bytes({ model: "m", web_search_options: {} });
    expect(readRequest("openai", "/v1/chat/completions", chat).searches).toBe(10);
  });

  test("without a model, or whose answer would never pass here, is refused", () => {
    expect(() => readRequest("anthropic", MESSAGES, bytes({}))).toThrow('"model"');
    expect(() => readRequest("openai", "/v1/responses", bytes({ model: "m", background: true }))).toThrow(
      '"background"',
    );
  });

  test("knows its conversation by its first message, wherever that is to be cached", () => {
    const first = { role: "user", content: [{ type: "text", text: "Do it." }] };
    const cached = { ...first, content: [{ ...first.content[0], cache_control: { type: "ephemeral" } }] };
    const of = (...messages: object[]) =>
      readRequest("anthropic", MESSAGES, bytes({ model: "m", max_tokens: 1, messages })).conversation;
    expect(of(first, { role: "assistant", content: "Done." })).toBe(of(cached));
    expect(of({ role: "user", content: "Something else." })).not.toBe(of(first));
    expect(of()).toBe("");
  });

  /** Cause: it was looked through without a limit, until the stack was full, and told to be an API that cannot be reached. */
  test("nested without end is refused", () => {
    const deep = (depth: number) =>
      bytes(`{"model":"m","max_tokens":1,"messages":${"[".repeat(depth)}${"]".repeat(depth)}}`);
    expect(readRequest("anthropic", MESSAGES, deep(500)).model).toBe("m");
    expect(() => readRequest("anthropic", MESSAGES, deep(400_000))).toThrow("nested more than 1000 times");
  });
});

describe("a body that would keep the process busy", () => {
  /** Cause: 32 MB of empty lists took four seconds and a gigabyte, for each request that was then refused. */
  test("has too many values or keys, and is refused before it is read; a long text is not", () => {
    const messages = (item: string, count: number) =>
      bytes(`{"model":"m","messages":[${Array(count).fill(item).join(",")}]}`);
    for (const [item, count] of [
      ["[]", 400_000],
      ['{"a":1}', 300_000],
      ["1", 600_000],
    ] as const)
      expect(() => readObject(messages(item, count))).toThrow("more than 500000 values");
    const text = JSON.stringify(`[{,"\\${"[{,".repeat(300_000)}`);
    expect(readObject(messages(text, 3))["model"]).toBe("m");
    const keys = Array.from({ length: 1_100 }, (_, index) => `"k${index}":1`).join(",");
    expect(() => readObject(bytes(`{${keys}}`))).toThrow("more than 1000 keys");
    expect(readObject(bytes(`{"tools":{${keys}}}`))["tools"]).toBeDefined();
  });
});

describe("the bound of a request's input", () => {
  const ADDED = 2_000;
  const text = (...parts: string[]) => bytes(parts.join(""));

  /** Cause: a call that broke off before its first word was tried again, and taken for one that writes to the cache once more. */
  test("is not made closer by what is only likely, which says what is read from the cache", () => {
    const bound = createInputBound();
    const body = text("h".repeat(8000));
    bound.learn("m", body, { ...NO_TOKENS, input: 10, cacheRead: 1000, cacheWrite: 990 }, false);
    expect(bound.of("m", body)).toEqual({
      ...{ most: 8000 + ADDED, isKnown: true, likely: { ...NO_TOKENS, input: 10, cacheRead: 1990 } },
    });
  });

  test("is a token a byte, until the API has counted one that it shares its beginning and end with", () => {
    const bound = createInputBound();
    const [head, tail] = ["h".repeat(5000), "t".repeat(3000)];
    expect(bound.of("m", text(head, tail)).most).toBe(8000 + ADDED);
    bound.learn("m", text(head, tail), { ...NO_TOKENS, input: 100, cacheRead: 1000, cacheWrite: 400 });
    expect(bound.of("m", text(head, tail)).most).toBe(1500 + ADDED);
    expect(bound.of("m", text(head, "x".repeat(40), tail)).most).toBe(1540 + ADDED);
    expect(bound.of("other", text(head, tail)).most).toBe(8000 + ADDED);
    expect(bound.of("m", text("another")).most).toBe(7 + ADDED);
  });

  test("most likely is a quarter of its bytes, and what was cached of the one before is read from there", () => {
    const bound = createInputBound();
    const before = text("h".repeat(4000), "t".repeat(4000));
    const after = text("h".repeat(4000), "x".repeat(400), "t".repeat(4000));
    expect(bound.of("m", after).likely).toEqual({ ...NO_TOKENS, input: 2100 });
    bound.learn("m", before, { ...NO_TOKENS, input: 20, cacheRead: 1480, cacheWrite: 500 });
    expect(bound.of("m", after).likely).toEqual({
      ...NO_TOKENS,
      input: 20,
      cacheRead: 1980,
      cacheWrite: 100,
    });
    expect(bound.of("other", after).likely).toEqual({ ...NO_TOKENS, input: 2100 });
    // Of another conversation with the same instructions, only these are cached.
    const another = text("a".repeat(4000), "t".repeat(4000));
    expect(bound.of("m", another).likely).toEqual({
      ...NO_TOKENS,
      input: 20,
      cacheRead: 990,
      cacheWrite: 990,
    });
  });
});
