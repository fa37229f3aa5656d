import { afterAll, beforeAll, expect, test } from "bun:test";
import { appendFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { type FolderWatch, watchFolder } from "../../../src/sandboxes/process/file-changes.ts";
import { type JournalLine, readJournal, tailOf } from "../../../src/sandboxes/process/journal.ts";

/** What the code says, written out: 16 MiB. */
const LINE_LIMIT = 16 * 1024 * 1024;
const CUT_MARK = "…[line cut]";

let folder: string;
let watch: FolderWatch;
let count = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-journal-"));
  watch = watchFolder(folder);
});
afterAll(async () => {
  watch.close();
  await rm(folder, { recursive: true });
});

const written = async (...parts: (string | Uint8Array<ArrayBuffer>)[]) => {
  const file = join(folder, `${++count}`);
  await writeFile(file, Buffer.concat(parts.map((part) => Buffer.from(part as Uint8Array))));
  return file;
};
const never = new AbortController().signal;
const follow = (file: string, ended: () => boolean, { from = 0, signal = never } = {}) =>
  readJournal({ file, from, ended, changes: watch.changesOf(basename(file)), signal });
const read = (file: string, from = 0) => Array.fromAsync(follow(file, () => true, { from }));

test("lines and their ends: empty lines, and a last one without a newline", async () => {
  expect(await read(await written("ab\n\nc\nd"))).toEqual([
    { line: "ab", end: 3 },
    { line: "", end: 4 },
    { line: "c", end: 6 },
    { line: "d", end: 7 },
  ]);
});

test("a later reader continues at the end of a line, counted in bytes, not characters", async () => {
  const file = await written("é\nü\n");
  const [first] = await read(file);
  expect(first).toEqual({ line: "é", end: 3 });
  expect(await read(file, first?.end)).toEqual([{ line: "ü", end: 6 }]);
});

test("bytes that are not UTF-8", async () => {
  expect(await read(await written(new Uint8Array([0xff, 0x0a])))).toEqual([{ line: "\ufffd", end: 2 }]);
});

test("a line over the limit is cut and marked; the next one is complete", async () => {
  const whole = "x".repeat(LINE_LIMIT);
  const [exact, long, next] = await read(await written(whole, "\n", whole, "y\nz"));
  expect(exact?.line).toBe(whole);
  expect(long).toEqual({ line: whole + CUT_MARK, end: 2 * LINE_LIMIT + 3 });
  expect(next).toEqual({ line: "z", end: 2 * LINE_LIMIT + 4 });
});

test("lines written while reading arrive, and an incomplete line only with its rest", async () => {
  const file = await written("one\ntw");
  let ended = false;
  const seen: JournalLine[] = [];
  for await (const one of follow(file, () => ended)) {
    seen.push(one);
    if (one.line === "one") await appendFile(file, "o\nthree");
    if (one.line === "two") ended = true;
  }
  expect(seen.map(({ line }) => line)).toEqual(["one", "two", "three"]);
});

test("an aborted reader stops without an error", async () => {
  const stop = new AbortController();
  const seen: string[] = [];
  const file = await written("one\ntwo\n");
  for await (const { line } of follow(file, () => false, { signal: stop.signal })) {
    seen.push(line);
    stop.abort();
  }
  expect(seen).toEqual(["one"]);
});

test("the tail of stderr", async () => {
  expect(await tailOf(await written("abcdef"), 4)).toBe("cdef");
  expect(await tailOf(join(folder, "none"))).toBe("");
});
