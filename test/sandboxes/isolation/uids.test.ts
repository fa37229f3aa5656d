import { afterAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openUids, uidIn } from "../../../src/sandboxes/isolation/uids.ts";

const dataDir = await mkdtemp(join(tmpdir(), "pb-uids-"));
afterAll(() => rm(dataDir, { recursive: true, force: true }));
const range = { first: 200_000, last: 200_004 };

async function sandbox() {
  const id = crypto.randomUUID();
  const folder = join(dataDir, id);
  await mkdir(folder);
  return { id, folder };
}

test("each sandbox gets a user of its own, also from several processes, until there are no more", async () => {
  const [uids, other] = [openUids({ dataDir, range }), openUids({ dataDir, range })];
  const sandboxes = await Promise.all(Array.from({ length: 5 }, sandbox));
  const claims = await Promise.all(
    sandboxes.map(({ id, folder }, index) => (index % 2 ? uids : other).claim(id, folder)),
  );
  expect(claims.sort()).toEqual([200_000, 200_001, 200_002, 200_003, 200_004]);
  const late = await sandbox();
  await expect(uids.claim(late.id, late.folder)).rejects.toThrow(
    "all users of AGENT_UIDS (200000-200004) are in use",
  );

  // A sandbox keeps its user over a restart.
  const [first, second] = sandboxes;
  if (!first || !second) throw new Error("there are no sandboxes");
  expect(await other.claim(first.id, first.folder)).toBe(uidIn(first.folder) ?? 0);

  // One that is gone frees it; nobody else's claim frees it.
  await uids.release(uidIn(second.folder), first.id);
  await expect(uids.claim(late.id, late.folder)).rejects.toThrow("in use");
  await uids.release(uidIn(second.folder), second.id);
  expect(await uids.claim(late.id, late.folder)).toBe(uidIn(second.folder) ?? 0);
});

// Number("") is 0: the sandbox's programs would have run as root.
test.each(["", "0", "-1", "1e3", "x"])(
  "a file of %j names no user, and the sandbox gets a new one",
  async (text) => {
    const { id, folder } = await sandbox();
    await writeFile(join(folder, "uid"), text);
    expect(uidIn(folder)).toBeUndefined();
    const uids = openUids({ dataDir: folder, range });
    const uid = await uids.claim(id, folder);
    expect(uidIn(folder)).toBe(uid);
  },
);

// Two operations of git that were its first claimed a user each; one of the two was never freed.
test("claims of one id at the same time share one user", async () => {
  const { id, folder } = await sandbox();
  const [here, there] = [openUids({ dataDir: folder, range }), openUids({ dataDir: folder, range })];
  const claims = await Promise.all([here, here, there, there].map((uids) => uids.claim(id, folder)));
  expect(new Set(claims).size).toBe(1);
  expect(await readdir(join(folder, "uids"))).toEqual([`${uidIn(folder)}`]);
});

test("users of sandboxes that do not exist are swept, and the others' are not", async () => {
  const uids = openUids({ dataDir, range });
  const [kept = ""] = await readdir(join(dataDir, "uids"));
  const holder = await Bun.file(join(dataDir, "uids", kept)).text();
  await uids.sweep((id) => id === holder);
  expect(await readdir(join(dataDir, "uids"))).toEqual([kept]);
});
