import { expect, test } from "bun:test";
import fc from "fast-check";
import { followUpText, type QuotedComment } from "../../src/comments/follow-up-text.ts";

const quoted = (more: Partial<QuotedComment>): QuotedComment => ({
  path: "src/login.ts",
  commit: "3f786850e387550fdab836ed7e6dc881de23001b",
  side: "new",
  line: 12,
  endLine: 12,
  text: "This waits for ever.",
  code: "await connect();",
  ...more,
});

test("a prompt quotes each comment with its path, lines, side and code, by file and line", () => {
  const text = followUpText(
    [
      quoted({ path: "src/main.ts", line: null, endLine: null, code: "", text: "Split this file." }),
      quoted({ line: 20, endLine: 21, side: "old", code: "a\nb", text: "Keep these." }),
      quoted({}),
      quoted({ line: null, endLine: null, code: "", text: "No tests?" }),
    ],
    "Please do.\n",
  );
  expect(text).toBe(`Please do.

## 1. src/login.ts (new side of the diff, commit 3f786850e387)

No tests?

## 2. src/login.ts, line 12 (new side of the diff, commit 3f786850e387)

\`\`\`
await connect();
\`\`\`

This waits for ever.

## 3. src/login.ts, lines 20 to 21 (old side of the diff: as it was before the work, commit 3f786850e387)

\`\`\`
a
b
\`\`\`

Keep these.

## 4. src/main.ts (new side of the diff, commit 3f786850e387)

Split this file.`);
  expect(followUpText([quoted({})])).toStartWith("Address these review comments.\n\n## 1. ");
});

test("no code ends its fence", () => {
  const tick = fc.constantFrom("`", "```", "````", "\n", "x", "~~~");
  fc.assert(
    fc.property(fc.array(tick, { maxLength: 30 }), (parts) => {
      const code = parts.join("");
      const lines = followUpText([quoted({ code })]).split("\n");
      const fence = String(lines[4]);
      expect(fence).toMatch(/^`{3,}$/);
      const end = lines.indexOf(fence, 5);
      expect(lines.slice(5, end).join("\n")).toBe(code);
      expect(code).not.toContain(fence);
    }),
  );
});

test("a path of any name stays on the line of its heading", () => {
  const headingOf = (path: string) => followUpText([quoted({ path })]).split("\n")[2];
  const around = (shown: string) => `## 1. ${shown}, line 12 (new side of the diff, commit 3f786850e387)`;
  for (const [path, shown] of [
    ["docs/Über uns (1).md", "docs/Über uns (1).md"],
    ['a\n\n## 2. b"c', String.raw`"a\n\n## 2. b\"c"`],
    ["a`b", '"a`b"'],
    // As git quotes a name of other bytes than UTF-8.
    [String.raw`"caf\351.txt"`, String.raw`"caf\351.txt"`],
    ['"a\nb"', String.raw`"a\u{a}b"`],
    ["evil\u202egnp.js", String.raw`"evil\u{202e}gnp.js"`],
    ["a\u2028b", String.raw`"a\u{2028}b"`],
  ] as const)
    expect(headingOf(path)).toBe(around(shown));
});

test("a prompt that would be too long is refused, and says what to do", () => {
  const many = Array.from({ length: 25 }, (_, line) => quoted({ line, text: "x".repeat(10_000) }));
  expect(() => followUpText(many)).toThrow(
    /comments make a prompt of \d{6} characters, of 200000 at most.*comment_ids/,
  );
  expect(followUpText(many.slice(0, 19)).length).toBeLessThan(200_000);
});
