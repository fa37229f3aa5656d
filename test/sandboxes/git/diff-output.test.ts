import { expect, test } from "bun:test";
import { createDiffReader } from "../../../src/sandboxes/git/diff-output.ts";
import { bytesOf, encodedPath, joinedPath, pathIn } from "../../../src/sandboxes/git/git-paths.ts";

const LIMITS = { files: 10, fileBytes: 1_000, allBytes: 2_000 };
const ID = "0".repeat(40);
const raw = (status: string, ...names: string[]) =>
  `:100644 100644 ${ID} ${ID} ${status}\0${names.map((name) => `${name}\0`).join("")}`;

/** Reads a diff in parts of a length. */
function read(text: string, length = 7, limits = LIMITS, complete = true) {
  const reader = createDiffReader(limits);
  const bytes = Buffer.from(text, "latin1");
  for (let from = 0; from < bytes.length; from += length) reader.take(bytes.subarray(from, from + length));
  return reader.end(complete);
}
const section = (lines: readonly string[]) =>
  `diff --git a/x b/x\nindex ${ID}..${ID} 100644\n--- a/x\n+++ b/x\n@@ -0,0 +1,${lines.length} @@\n${lines.map((line) => `+${line}\n`).join("")}`;

test("lines are known by the counts of their hunk, however they look and wherever the parts end", () => {
  const text = `${raw("M", "x")}3\t2\tx\0\0diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@ one\n--- a/x\n+++ b/x\n+diff --git a/y b/y\n-@@ -1 +1 @@\n+\\ x\n\\ No newline at end of file\n`;
  for (const length of [1, 2, 3, 5, 64, 4_096])
    expect(read(text, length).files).toMatchObject([
      {
        ...{ path: "x", additions: 3, deletions: 2 },
        hunks: [
          {
            ...{ oldStart: 1, oldLines: 2, newStart: 1, newLines: 3, heading: "one" },
            lines: [
              ...["--- a/x", "+++ b/x", "+diff --git a/y b/y", "-@@ -1 +1 @@", "+\\ x"],
              "\\ No newline at end of file",
            ],
          },
        ],
      },
    ]);
});

test("a line without a newline at the end does not count as one of either side", () => {
  const lines = ["-x", "\\ No newline at end of file", "+y", "+z", "\\ No newline at end of file"];
  const text = `${raw("M", "x")}2\t1\tx\0\0diff --git a/x b/x\n@@ -1 +1,2 @@\n${lines.join("\n")}\n`;
  expect(read(text).files).toMatchObject([{ hunks: [{ lines }] }]);
});

test("a file that is too large is marked, and the next one has its hunks", () => {
  const long = Array.from({ length: 200 }, () => "0123456789");
  const text = `${raw("A", "long")}${raw("A", "short")}200\t0\tlong\0${"1\t0\tshort\0"}\0${section(long)}${section(["x"])}`;
  expect(read(text, 7, { ...LIMITS, allBytes: 1_000_000 })).toMatchObject({
    ...{ truncated: true, additions: 201 },
    files: [
      { path: "long", tooLarge: true, hunks: [], additions: 200 },
      { path: "short", tooLarge: false, hunks: [{ lines: ["+x"] }] },
    ],
  });
});

test("all together keep no more than their limit, and files beyond theirs are only counted", () => {
  const lines = Array.from({ length: 80 }, () => "0123456789");
  const names = Array.from({ length: 12 }, (_, index) => `f${index}`);
  const text = `${names.map((name) => raw("A", name)).join("")}${names.map((name) => `80\t0\t${name}\0`).join("")}\0${names.map(() => section(lines)).join("")}`;
  const { files, truncated, additions } = read(text, 100);
  expect([files.length, truncated, additions]).toEqual([10, true, 960]);
  expect(files.filter((one) => !one.tooLarge).length).toBe(2);
});

test("what was cut off is marked, also the files of which nothing has come", () => {
  const text = `${raw("A", "one")}${raw("A", "two")}2\t0\tone\0${"1\t0\ttwo\0"}\0${section(["a", "b"]).slice(0, -3)}`;
  expect(read(text, 7, LIMITS, false)).toMatchObject({
    ...{ truncated: true },
    files: [
      { tooLarge: true, hunks: [] },
      { tooLarge: true, hunks: [] },
    ],
  });
});

test("a diff of 300 MB leaves nothing behind but what is kept of it", () => {
  const limits = { files: 10, fileBytes: 500_000, allBytes: 500_000 };
  const reader = createDiffReader(limits);
  const part = Buffer.from(`${"+".padEnd(1_000, "x")}\n`.repeat(1_000));
  const count = 300;
  reader.take(
    Buffer.from(
      `${raw("A", "x")}${count * 1_000}\t0\tx\0\0diff --git a/x b/x\n@@ -0,0 +1,${count * 1_000} @@\n`,
    ),
  );
  Bun.gc(true);
  const before = process.memoryUsage().rss;
  let most = before;
  for (let index = 0; index < count; index += 1) {
    reader.take(part);
    if (index % 20 === 0) {
      Bun.gc(true);
      most = Math.max(most, process.memoryUsage().rss);
    }
  }
  expect(reader.end(true).files).toMatchObject([{ tooLarge: true, hunks: [], additions: count * 1_000 }]);
  expect((most - before) / 1024 / 1024).toBeLessThan(60);
});

test.each([
  ["plain.txt", "plain.txt"],
  ["caf\xc3\xa9", "café"],
  ["caf\xe9", '"caf\\351"'],
  ['"a"', '"\\"a\\""'],
  ['a"b\\c', 'a"b\\c'],
  ["\xff\n\t\\", '"\\377\\n\\t\\\\"'],
])("the name %j is %p, and back", (bytes, text) => {
  const name = Buffer.from(bytes, "latin1");
  expect(pathIn(name)).toBe(text);
  expect(Buffer.from(bytesOf(text) ?? [])).toEqual(name);
});

test.each(["", "/a", "a/", "a//b", "../a", "a/./b", "a\0b", '"unended', '"\\400"', '"a"b"', '"\\x"'])(
  "%p is the name of no file",
  (text) => expect(bytesOf(text)).toBeUndefined(),
);

test("names are joined as bytes, and reach a shell as digits alone", () => {
  expect(joinedPath("", "a")).toBe("a");
  expect(joinedPath('"caf\\351"', "a b")).toBe('"caf\\351/a b"');
  expect(encodedPath(Buffer.from("a'$\n"))).toBe("\\0141\\0047\\0044\\0012");
});
