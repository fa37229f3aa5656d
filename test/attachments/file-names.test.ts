import { expect, test } from "bun:test";
import { safeName, uniqueName } from "../../src/attachments/file-names.ts";

test.each([
  ["report.pdf", "report.pdf"],
  ["../../etc/passwd", "passwd"],
  ["C:\\Users\\me\\a.txt", "a.txt"],
  ["/", ""],
  ["..", ""],
  [".", ""],
  [" . ", ""],
  ["a/..", ""],
  ["a\0b\nc\u001b[2J.txt", "abc[2J.txt"],
  ["exe\u202egpj.sh", "exegpj.sh"],
  ["\ud800x", "\ufffdx"],
  [".bashrc", ".bashrc"],
  ["Übersicht 1.ods", "Übersicht 1.ods"],
  ["-rf", "-rf"],
])("%j becomes %j", (sent, safe) => {
  expect(safeName(sent)).toBe(safe);
});

test("a long name keeps its end, and no character is cut in two", () => {
  for (const name of [`${"é".repeat(300)}.tar`, `${"😀".repeat(300)}.txt`, "x".repeat(1_000)]) {
    const safe = safeName(name);
    expect(Buffer.byteLength(safe)).toBeLessThanOrEqual(200);
    expect(Buffer.byteLength(safe)).toBeGreaterThan(195);
    expect(safe.isWellFormed()).toBe(true);
    expect(safe.slice(-4)).toBe(name.slice(-4));
  }
});

test("the same name, in any case, gets a number", () => {
  const taken = new Set<string>();
  const names = ["a.txt", "A.TXT", "a.txt", "b", "b", `${"x".repeat(196)}.txt`, `${"x".repeat(196)}.txt`];
  const unique = names.map((name) => {
    const one = uniqueName(name, taken);
    taken.add(one.toLowerCase());
    return one;
  });
  expect(unique.slice(0, 5)).toEqual(["a.txt", "A-2.TXT", "a-3.txt", "b", "b-2"]);
  expect(new Set(unique).size).toBe(7);
  for (const one of unique) expect(Buffer.byteLength(one)).toBeLessThanOrEqual(200);
});
