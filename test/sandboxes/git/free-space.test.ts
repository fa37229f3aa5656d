import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { appendFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freeBytesOf, whileDiskLasts } from "../../../src/sandboxes/git/free-space.ts";
import { MIB } from "../../../src/shared/units.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);
const folder = await mkdtemp(join(tmpdir(), "pb-free-space-"));
afterAll(() => rm(folder, { recursive: true, force: true }));
const never = new AbortController().signal;

/** Fills the disk, a piece at a time, until it is told to end. */
async function fill(signal: AbortSignal): Promise<void> {
  const piece = crypto.getRandomValues(new Uint8Array(65_536));
  for (let pieces = 0; pieces < 4096; pieces += 16) {
    for (let n = 0; n < 16; n += 1) appendFileSync(join(folder, "fetched"), piece);
    await Bun.sleep(20);
    signal.throwIfAborted();
  }
}

// A disk that was looked at only before a fetch was filled by it.
test("work that fills the disk is ended while it runs, and may be tried again", async () => {
  const leave = (await freeBytesOf(folder)) - 16 * MIB;
  await expect(whileDiskLasts({ folder, leave, signal: never }, fill)).rejects.toMatchObject({
    message: "The disk of the machine that runs the prompts is nearly full (MIN_FREE_DISK_MB).",
    transient: true,
  });
});

test("on a disk with space, work ends by itself, or when its caller gives up", async () => {
  expect(await whileDiskLasts({ folder, leave: 0, signal: never }, async () => "done")).toBe("done");
  const given = new AbortController();
  const work = whileDiskLasts({ folder, leave: 0, signal: given.signal }, async (signal) => {
    given.abort(new Error("cancelled"));
    signal.throwIfAborted();
  });
  await expect(work).rejects.toThrow("cancelled");
});
