import { expect, test } from "bun:test";
import { readObject } from "../../src/spend/json-object.ts";
import { sharedBytes } from "../../src/spend/shared-bytes.ts";

/** Where bodies are compared in steps, each place of a difference is one of its own. */
const SIZES = [0, 1, 2, 16_383, 16_384, 16_385, 32_768, 50_001];

test("what bodies share is found to the byte, wherever they differ", () => {
  for (const head of SIZES)
    for (const tail of SIZES)
      for (const [cut, added] of [
        [1, 1],
        [0, 7],
        [5, 0],
        [40_000, 3],
      ] as const) {
        const join = (middle: string) => Buffer.from(`${"h".repeat(head)}${middle}${"t".repeat(tail)}`);
        const [known, body] = [join("x".repeat(cut)), join("y".repeat(added))];
        const shared = sharedBytes(known, body);
        expect([head, tail, cut, added, shared]).toEqual([head, tail, cut, added, head + tail]);
      }
});

test("keys twice are found in any text that is JSON, and nothing else is", () => {
  const texts = ["", "\\", '"', '\\"', '"\\', '{"model":1,', "}]", ",", "\\\\", "\u2028ä😀", '","model":"'];
  const values = texts.flatMap((text) => [text, [text], { model: text, model2: [{ model: text }] }, 1, null]);
  for (const before of values)
    for (const after of values) {
      const inside = `"a":${JSON.stringify(before)} , "model" : "m","b":\n${JSON.stringify(after)}`;
      const one = `{${inside}}`;
      expect(readObject(Buffer.from(one))).toEqual(JSON.parse(one));
      for (const twice of [`{${inside},"model":"n"}`, `{"mod\\u0065l":1,${inside}}`, `{"b":[],${inside}}`])
        expect(() => readObject(Buffer.from(twice)), twice).toThrow("twice");
    }
});
