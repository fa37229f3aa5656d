import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { closeSync, constants, openSync, readSync } from "node:fs";
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cutInstructions, readInstructions } from "../../src/agents/instructions.ts";
import { until } from "../harness/until.ts";

/** The limit of the code, written out: one argument of a program may have 128 KiB. */
const INSTRUCTIONS_BYTES = 100 * 1024;

const NOTICE = "\n[The rest of CLAUDE.md was left out: too long.]";
const GIB = 1024 ** 3;

let checkout: string;
let file: string;
beforeEach(async () => {
  checkout = await mkdtemp(join(tmpdir(), "pb-instructions-"));
  file = join(checkout, "CLAUDE.md");
});
afterEach(() => rm(checkout, { recursive: true }));

describe("readInstructions", () => {
  test("a short file as it is; none, and an empty one, are undefined", async () => {
    expect(await readInstructions(checkout)).toBeUndefined();
    await writeFile(file, "");
    expect(await readInstructions(checkout)).toBeUndefined();
    await writeFile(file, "Be brief. é😀\n");
    expect(await readInstructions(checkout)).toBe("Be brief. é😀\n");
  });

  /** Cause: the file was read whole before it was cut. */
  test("a sparse file of 8 GiB: only what is kept is read", async () => {
    await writeFile(file, "Be brief.");
    await truncate(file, 8 * GIB);
    const before = process.memoryUsage().rss;
    const text = await readInstructions(checkout);
    expect(text).toStartWith("Be brief.\0");
    expect(text).toEndWith(NOTICE);
    expect(process.memoryUsage().rss - before).toBeLessThan(256 * 1024 * 1024);
  });

  test("a FIFO, even one with a writer", async () => {
    await Bun.$`mkfifo ${file}`.quiet();
    expect(await readInstructions(checkout)).toBeUndefined();
    // The writer's open waits for a reader.
    const reader = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
    const writer = Bun.spawn(["sh", "-c", 'exec yes > "$0"', file]);
    try {
      await until(() => readSync(reader, Buffer.alloc(1)), { what: "the writer's data" });
      expect(await readInstructions(checkout)).toBeUndefined();
    } finally {
      closeSync(reader);
      writer.kill("SIGKILL");
      await writer.exited;
    }
  });

  test("a link, also one to a device, is not followed; a folder is none", async () => {
    await symlink("/etc/hostname", file);
    expect(await readInstructions(checkout)).toBeUndefined();
    await rm(file);
    await symlink("/dev/zero", file);
    expect(await readInstructions(checkout)).toBeUndefined();
    await rm(file);
    await mkdir(file);
    expect(await readInstructions(checkout)).toBeUndefined();
  });

  test("exactly the limit is complete; one byte more is cut, with the notice, within the limit", async () => {
    await writeFile(file, "x".repeat(INSTRUCTIONS_BYTES));
    expect(await readInstructions(checkout)).toBe("x".repeat(INSTRUCTIONS_BYTES));
    await writeFile(file, "x".repeat(INSTRUCTIONS_BYTES + 1));
    const kept = INSTRUCTIONS_BYTES - NOTICE.length;
    expect(await readInstructions(checkout)).toBe("x".repeat(kept) + NOTICE);
  });

  test.each(["é", "€", "😀"])("%s on the cut is left out as a whole", async (character) => {
    const size = Buffer.byteLength(character);
    const kept = INSTRUCTIONS_BYTES - NOTICE.length;
    for (let shift = 0; shift <= size; shift += 1) {
      // Characters on both places where bytes end: what is kept, and what is read.
      const text = "x".repeat(kept - shift) + character.repeat(1_000);
      await writeFile(file, text);
      const read = (await readInstructions(checkout)) ?? "";
      expect(Buffer.byteLength(read)).toBeLessThanOrEqual(INSTRUCTIONS_BYTES);
      expect(read).not.toContain("\uFFFD");
      expect(read).toEndWith(NOTICE);
      expect(text.startsWith(read.slice(0, -NOTICE.length))).toBe(true);
    }
  });

  test("bytes that are not UTF-8 become more bytes as text: the limit holds all the same", async () => {
    await writeFile(file, Buffer.alloc(INSTRUCTIONS_BYTES, 0xff));
    const read = (await readInstructions(checkout)) ?? "";
    expect(Buffer.byteLength(read)).toBeLessThanOrEqual(INSTRUCTIONS_BYTES);
    expect(read).toEndWith(NOTICE);
  });
});

test("cutting twice is cutting once", () => {
  const once = cutInstructions("é".repeat(INSTRUCTIONS_BYTES));
  expect(cutInstructions(once)).toBe(once);
});
