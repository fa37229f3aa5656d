import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openUntrusted, readUntrusted } from "../../src/shared/untrusted-file.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pb-untrusted-"));
  await writeFile(join(folder, "file"), "words");
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("a regular file is opened", async () => {
  await using file = await openUntrusted(join(folder, "file"));
  expect(await file?.readFile("utf8")).toBe("words");
});

test.each<[string, (path: string) => unknown]>([
  ["a link", (path) => symlink(join(folder, "file"), path)],
  ["a FIFO that nobody writes to", (path) => Bun.$`mkfifo ${path}`.quiet()],
  ["a folder", (path) => mkdir(path)],
  ["a socket", (path) => void Bun.listen({ unix: path, socket: { data: () => undefined } }).unref()],
  ["nothing", () => undefined],
])("%s is not opened, at once", async (name, plant) => {
  const path = join(folder, name.replaceAll(" ", "-"));
  await plant(path);
  expect(await openUntrusted(path)).toBeUndefined();
});

test("a device is not opened", async () => {
  expect(await openUntrusted("/dev/null")).toBeUndefined();
});

test("of a file that says to be huge, no more than the limit is read", async () => {
  await truncate(join(folder, "file"), 40e9);
  expect((await readUntrusted(join(folder, "file"), 10))?.length).toBe(10);
});
