import { expect, test } from "bun:test";
import type { Turn } from "../../src/db/json-columns.ts";
import { withTurns } from "../../src/memory/replay.ts";

const turn = (content: string, role: Turn["role"] = "user"): Turn => ({
  ...{ role, content, prompt_id: "p", at: new Date(0).toISOString() },
});

test("without turns, an agent gets exactly its prompt", () => {
  expect(withTurns([], "do it", true)).toBe("do it");
});

test("turns come in order before the prompt, with the reason why", () => {
  const turns = [turn("one"), turn("two", "assistant")];
  const lost = withTurns(turns, "three", true);
  expect(lost).toContain('<turn role="user">\none\n</turn>\n<turn role="assistant">\ntwo\n</turn>');
  expect(lost).toEndWith("The present task:\n\nthree");
  expect(lost).toContain("your memory of it was lost");
  expect(lost).not.toContain("left out");
  expect(withTurns(turns, "three", false)).toStartWith("Since what you remember");
});

test("a turn is cut within a bound, and never in the middle of a character", () => {
  const text = withTurns([turn(`${"x".repeat(16 * 1024 - 1)}\u{1f600}tail`)], "next", true);
  expect(text).toContain("[… cut]");
  expect(text).not.toContain("tail");
  expect(text.isWellFormed()).toBe(true);
});

test("the newest turns are passed on within a bound of all, and how many are left out is said", () => {
  const turns = Array.from({ length: 20 }, (_, n) => turn(`turn ${n} ${"x".repeat(10_000)}`));
  const text = withTurns(turns, "next", true);
  expect(text.length).toBeLessThan(64 * 1024 + 1_000);
  expect(text).toContain("turn 19 ");
  expect(text).toContain("turn 14 ");
  expect(text).not.toContain("turn 13 ");
  expect(text).toContain("14 earlier turns are left out.");
});

test("one long turn in the middle ends what is passed on: there are no gaps", () => {
  const turns = [turn("first"), ...Array.from({ length: 5 }, () => turn("y".repeat(50_000))), turn("last")];
  const text = withTurns(turns, "next", true);
  expect(text).toContain("last");
  expect(text).not.toContain("first");
});
