import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { JsonCompactor } from "../../../src/sandboxes/process/json-compactor.ts";

/** What the code says, written out, with some room for marks. */
const MOST = 1_300_000;

function compact(text: string | Uint8Array, pieceBytes = 7): string | undefined {
  const bytes = Buffer.from(text as string);
  const compactor = new JsonCompactor();
  for (let at = 0; at < bytes.length; at += pieceBytes) compactor.add(bytes.subarray(at, at + pieceBytes));
  return compactor.take();
}
// biome-ignore lint/suspicious/noExplicitAny: results of every shape are read here.
const parsed = (text: string, pieceBytes = 65_536): any => JSON.parse(compact(text, pieceBytes) ?? "null");

test("JSON within the limits stays what it was, wherever its bytes are split", () => {
  const small = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 6 }), { noNullPrototype: true });
  fc.assert(
    fc.property(
      small,
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 0, max: 2 }),
      (value, bytes, indent) => {
        // Long keys of the outermost object are cut; all others stay.
        fc.pre(Object.keys(value).every((key) => Buffer.byteLength(JSON.stringify(key)) < 40));
        const text = JSON.stringify(value, null, indent).replaceAll("\n", " ");
        expect(JSON.parse(compact(text, bytes) ?? "null")).toEqual(JSON.parse(text));
      },
    ),
  );
});

test("no input makes it fail, or keep more than its limit", () => {
  const parts = fc.constantFrom(
    '{"type":"x"',
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    '"',
    "\\",
    "\\u",
    "\\ud83d",
    "é😀",
    "\xff",
    "1",
    "null",
    '"a":',
  );
  const rest = fc.tuple(fc.array(parts, { maxLength: 30 }), fc.integer({ min: 1, max: 20_000 }));
  fc.assert(
    fc.property(rest, ([pieces, times]) => {
      const text = `{${pieces.join("").repeat(times)}`;
      expect((compact(text.slice(0, 4_000_000), 65_536) ?? "").length).toBeLessThan(MOST);
    }),
    { numRuns: 50 },
  );
});

// The limits were looked at where a comma stands: 16 MB of brackets were kept, 0.4 MB in deep ones became 4 MB.
test.each([
  ["colons", '{"a":', ":", 4_000_000, "}"],
  ["pairs of brackets", '{"a":[', "[]", 2_000_000, "]}"],
  ["strings", '{"a":[', '"x"', 1_000_000, "]}"],
  ["pairs of brackets deep down", `{"a":${"[".repeat(63)}`, "[]", 200_000, `${"]".repeat(63)}}`],
])("no input without commas is kept: %s", (_name, start, unit, times, end) => {
  expect((compact(`${start}${unit.repeat(times)}${end}`, 65_536) ?? "").length).toBeLessThan(MOST);
});

describe("long strings", () => {
  test.each([
    ["ASCII", "x", 200_000],
    ["two bytes", "é", 200_000],
    ["four bytes", "😀", 100_000],
    ["escapes", "\u0001", 100_000],
    ["quotes", '"\\', 100_000],
  ])("%s: cut between characters, and the mark counts the rest", (_name, unit, times) => {
    const original = unit.repeat(times);
    const { a, b } = parsed(JSON.stringify({ a: original, b: "next" }), 1_000);
    const [, kept = "", more] = /^(.*)… \[(\d+) more characters left out\]$/s.exec(a) ?? [];
    expect(original.startsWith(kept)).toBe(true);
    expect(kept.length + Number(more)).toBe(original.length);
    expect(kept.isWellFormed()).toBe(true);
    expect(b).toBe("next");
  });

  test("a pair of escaped surrogates is not torn, and a backslash before its text is no escape", () => {
    for (const shift of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]) {
      const pad = "x".repeat(shift);
      const pairs = compact(`{"a":"${pad}${"\\ud83d\\ude00".repeat(30_000)}"}`, 999);
      expect(JSON.parse(pairs ?? "").a.isWellFormed()).toBe(true);
      const text = parsed(`{"a":"${pad}${"\\\\ud83d".repeat(30_000)}"}`).a as string;
      expect(text.slice(shift)).toMatch(
        /^(\\ud83d)*\\?(u|ud|ud8|ud83|ud83d)?… \[\d+ more characters left out\]$/,
      );
    }
  });

  test("bytes that are not UTF-8 do not get around the limit", () => {
    const text = Buffer.concat([Buffer.from('{"a":"'), Buffer.alloc(4_000_000, 0x80), Buffer.from('"}')]);
    expect(compact(text, 65_536)?.length).toBeLessThan(MOST);
  });
});

describe("many parts", () => {
  test("depth: what is nested too deeply is one text", () => {
    const deep = parsed(`{"a":${"[".repeat(1_000_000)}${"]".repeat(1_000_000)},"type":"x"}`);
    expect(JSON.stringify(deep)).toBe(
      `{"a":${"[".repeat(63)}"[nested too deeply]"${"]".repeat(63)},"type":"x","left_out":"1999872 bytes"}`,
    );
  });

  test("an array: its beginning is kept, and the members after it", () => {
    const { a, b, left_out } = parsed(`{"a":[${"[],".repeat(1_000_000)}[]],"b":{"c":1}}`);
    expect(a.length).toBeLessThan(5_000);
    expect(b).toEqual({ c: 1 });
    expect(left_out).toMatch(/^29\d\d\d\d\d bytes$/);
  });

  test.each(["before", "after"])(
    "members without end: type, subtype and is_error %s them are kept",
    (where) => {
      const known = '"type":"result","subtype":"s","is_error":true';
      const many = '"a":{},'.repeat(500_000);
      const text = where === "before" ? `{${known},${many}"z":1}` : `{${many}${known}}`;
      expect(parsed(text)).toMatchObject({ type: "result", subtype: "s", is_error: true });
      expect(parsed(`{${many.replaceAll('"a"', '"type"')}"z":1}`)).toBeDefined();
    },
  );
});

test("a line of Claude Code with a whole file in tool_use_result keeps its message", () => {
  const message = {
    role: "user",
    content: [
      { tool_use_id: "toolu_1", type: "tool_result", content: "c".repeat(10_000_000), is_error: false },
    ],
  };
  const tool_use_result = {
    originalFile: "line\n".repeat(2_000_000),
    structuredPatch: Array(100_000).fill("patch"),
  };
  for (const event of [
    { type: "user", message, tool_use_result, uuid: "u" },
    { tool_use_result, message, uuid: "u", type: "user" },
  ]) {
    const { message: kept, ...rest } = parsed(JSON.stringify(event));
    expect(rest).toMatchObject({ type: "user", uuid: "u" });
    expect(kept.content[0]).toMatchObject({ tool_use_id: "toolu_1", type: "tool_result", is_error: false });
    expect(kept.content[0].content.length).toBeGreaterThan(100_000);
    expect(JSON.stringify(rest).length).toBeLessThan(100_000);
  }
});

test.each([
  '{"a":[}',
  '{"a":1}}',
  '{"a":1} x',
  '{"a":"',
  '{"a":[1',
  '{"a":1}{}',
  "{]",
  `{"a":${"1".repeat(100)}}`,
])("%s is not an object", (text) => expect(compact(text)).toBeUndefined());
