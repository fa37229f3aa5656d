import { expect, test } from "bun:test";
import { clipped, harmless, quoted, withoutCommands } from "../../src/pull-requests/harmless.ts";

test.each([
  ["@ada, see @org/team", /@[a-z]/],
  ["fixes #12, owner/name#3, !4, &5, %6, ~7, $8", /[#!&%~$]\d/],
  ["closes https://github.com/o/r/issues/5 and GH-6", /issues\/5|GH-6/],
  ["![x](https://tracker.example/p.png)", /!\[/],
  ["<img src=x> <!-- hidden --> </details>", /<[a-z!/]/],
  ["/close\n> /merge\n  /assign", /^[\s>]*\/[a-z]/m],
  ["a\u202eb\u0000c", /\u202e|\0/],
])("nothing of %j has an effect", (text, effective) => {
  expect(text).toMatch(effective);
  expect(harmless(text)).not.toMatch(effective);
});

test("what a user writes may mention people and close issues, but not command the host", () => {
  expect(withoutCommands("Closes #1, @ada\n/merge")).toMatch(/^Closes #1, @ada\n[^/]/);
});

test("a quoted block ends what the text has opened, and a text is cut with a sign", () => {
  expect(quoted("```\n\ncode")).toBe("> ```\n>\n> code");
  expect(clipped("abcdef", 4)).toBe("abc…");
  expect(clipped("abc", 4)).toBe("abc");
});
