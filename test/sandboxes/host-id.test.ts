import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hostId } from "../../src/sandboxes/host-id.ts";
import { canMount, makeLoopDisk } from "../db/loop-disk.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";

setDefaultTimeout(SLOW_TEST_TIMEOUT_MS);

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "pb-host-"));
  try {
    await body(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}
const several = (folder: string) => Promise.all(Array.from({ length: 20 }, () => hostId(folder)));

test("processes that start at the same time have one id, and leave no draft", () =>
  inFolder(async (folder) => {
    const ids = new Set(await several(folder));
    expect(ids.size).toBe(1);
    expect([...ids][0]).toMatch(UUID);
    expect(await hostId(folder)).toBe([...ids][0] as string);
    expect(await readdir(folder)).toEqual(["host-id"]);
  }));

// A power loss left it empty: the machine was called "" for good.
test.each(["", "\n", "\0".repeat(37)])("a file with %j is replaced, by one id", (text) =>
  inFolder(async (folder) => {
    await writeFile(join(folder, "host-id"), text);
    const ids = new Set(await several(folder));
    expect(ids.size).toBe(1);
    expect([...ids][0]).toMatch(UUID);
    expect((await readFile(join(folder, "host-id"), "utf8")).trim()).toBe([...ids][0] as string);
  }),
);

test.if(canMount)("an id that was given out is the same after a power failure", async () => {
  await using disk = await makeLoopDisk(16);
  await Bun.$`sync -f ${disk.at}`.quiet();
  const id = await hostId(disk.at);
  await using after = await disk.afterPowerFailure();
  expect(await hostId(after.at)).toBe(id);
});
