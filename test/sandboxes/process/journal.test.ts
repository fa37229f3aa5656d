import { afterAll, beforeAll, expect, test } from "bun:test";
import { appendFile, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { type FolderWatch, watchFolder } from "../../../src/sandboxes/process/file-changes.ts";
import { type JournalLine, readJournal, tailOf } from "../../../src/sandboxes/process/journal.ts";

/** What the code says, written out: what is kept of a long text line. */
const TEXT_LIMIT = 64 * 1024 - 64;

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

test("a line over the limit is cut and says so; the next one is complete", async () => {
  const whole = "x".repeat(TEXT_LIMIT);
  const [exact, long, next] = await read(await written(whole, "\n", whole, "yyy\nz"));
  expect(exact?.line).toBe(whole);
  expect(long).toEqual({
    line: `${whole}… [3 more characters left out]`,
    end: 2 * TEXT_LIMIT + 5,
  });
  expect(next).toEqual({ line: "z", end: 2 * TEXT_LIMIT + 6 });
});

test("a text line is cut between characters, and says how many are missing", async () => {
  const text = `a${"😀".repeat(100_000)}`;
  const [one] = await read(await written(text, "\n"));
  const [, kept = "", more] = /^(.*)… \[(\d+) more characters left out\]$/.exec(one?.line ?? "") ?? [];
  expect(text.startsWith(kept)).toBe(true);
  expect(kept.length + Number(more)).toBe(text.length);
});

test("a long JSON object becomes a small one; one that is no JSON is cut like text", async () => {
  const content = "c".repeat(10_000_000);
  const object = `  {"type":"user","a":"${content}","b":[1,true,null]}`;
  const [good, bad, next] = await read(await written(object, "\n", `{${content}\n{}`));
  const { a, ...rest } = JSON.parse(good?.line ?? "");
  expect(rest).toEqual({ type: "user", b: [1, true, null] });
  expect(a.length).toBeLessThan(200_000);
  expect(good?.end).toBe(object.length + 1);
  expect(bad?.line).toMatch(/^\{c{1000}c*… \[\d+ more characters left out\]$/);
  expect(next?.line).toBe("{}");
});

test.each([
  ["zero bytes", () => Buffer.alloc(20_000_000)],
  ["brackets", () => Buffer.alloc(20_000_000, "[")],
  ["open objects", () => Buffer.alloc(20_000_000, '{"a":')],
  ["bytes that are not UTF-8", () => Buffer.alloc(20_000_000, 0x80)],
])("a line of %s alone is bounded, too", async (_name, bytes) => {
  const [one, ...more] = await read(await written(bytes() as unknown as string));
  expect(more).toEqual([]);
  expect(one?.end).toBe(20_000_000);
  expect(one?.line.length).toBeLessThanOrEqual(64 * 1024);
});

test("while lines are read, everything else has its turn", async () => {
  let turns = 0;
  const timer = setInterval(() => {
    turns += 1;
  }, 1);
  // In one chunk, so that reading the file is no pause.
  for await (const _line of follow(await written("a\n".repeat(30_000)), () => true)) busyFor(0.001);
  clearInterval(timer);
  expect(turns).toBeGreaterThan(3);
});

/** Uses the processor, as a reader of the lines does. */
function busyFor(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

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

test.each<[string, (path: string) => Promise<unknown>]>([
  ["a FIFO", (path) => Bun.$`mkfifo ${path}`.quiet()],
  ["a link", (path) => symlink("/etc/passwd", path)],
  ["a folder", (path) => mkdir(path)],
])("%s in the place of the output blocks nobody and is not read", async (_name, plant) => {
  const file = join(folder, `planted-${++count}`);
  await plant(file);
  expect(await tailOf(file)).toBe("");
  await expect(read(file)).rejects.toThrow("no regular file");
});

const readByRun = (file: string, joinTextFrom = 0, onlyEnd = () => false) =>
  Array.fromAsync(
    readJournal({
      file,
      from: 0,
      ended: () => true,
      changes: watch.changesOf(basename(file)),
      byRun: { joinTextFrom, onlyEnd },
      signal: never,
    }),
  );

// `yes a` prints half a billion lines within RUN_MAX_OUTPUT_MB: one by one, they took minutes and a gigabyte of memory.
test("by run, neighbouring lines of text are one; JSON objects, and what may be one, are by themselves", async () => {
  const text = 'a\n\nb {"not":1}\n{"type":"x"}\n \t{"y":1}\nc\n\u00a0{"z":1}\nd\ne';
  const lines = await readByRun(await written(text));
  expect(lines.map(({ line }) => line)).toEqual([
    'a\n\nb {"not":1}',
    '{"type":"x"}',
    ' \t{"y":1}',
    "c",
    '\u00a0{"z":1}',
    "d",
    "e",
  ]);
  expect(lines.at(-1)?.end).toBe(Buffer.byteLength(text));
});

test("by run, what was stored before is not joined with what is new, wherever the chunks end", async () => {
  const text = "0123456\n".repeat(20_000);
  const file = await written(text);
  for (const border of [8, 65_536, 80_000, 131_064]) {
    const lines = await readByRun(file, border);
    expect(lines.some(({ end }) => end === border)).toBe(true);
    expect(lines.map(({ line }) => `${line}\n`).join("")).toBe(text);
    expect(lines.length).toBeLessThan(10);
  }
});

test("by run, once only the end is of interest, the rest is left out, and the end has whole lines", async () => {
  const result = '{"type":"result"}\n';
  const file = await written("x".repeat(99), "\n", "long line\n".repeat(1_000_000), result);
  const lines = await readByRun(file, 0, () => true);
  expect(lines.at(-1)?.line).toBe(result.trimEnd());
  const kept = lines.map(({ line }) => `${line}\n`).join("");
  expect(kept.length).toBeLessThanOrEqual(1024 ** 2);
  expect(kept).toStartWith("long line\n");
  expect(kept.length).toBeGreaterThan(1024 ** 2 - 20);
});
