import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readFile, rename, symlink, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { removeTree } from "../../src/sandboxes/remove-tree.ts";
import { withTimeout } from "../../src/shared/time.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";

setDefaultTimeout(SLOW_TEST_TIMEOUT_MS);
const isRoot = process.getuid?.() === 0;

const folders: string[] = [];
/** Programs of the machine: Bun's shell has its own, which are Bun's functions. */
async function run(...argv: string[]): Promise<void> {
  await Bun.spawn(argv, { env: { PATH: process.env["PATH"] }, stderr: "inherit" }).exited;
}
afterEach(async () => {
  for (const folder of folders.splice(0)) await run("rm", "-rf", folder);
});
async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "pb-remove-"));
  folders.push(folder);
  return folder;
}

const LEVELS_OF_PIECE = 1_000;

/** Folders in each other, whose path is longer than any system call takes: pieces, each moved into the next one. */
async function makeDeep(top: string, levels: number): Promise<void> {
  const piece = join(dirname(top), crypto.randomUUID());
  for (let made = 0; made < levels; made += LEVELS_OF_PIECE) {
    const deepest = join(piece, ..."d".repeat(LEVELS_OF_PIECE - 1));
    await run("mkdir", "-p", deepest);
    if (existsSync(top)) await rename(top, join(deepest, "d"));
    else await writeFile(join(deepest, "file"), "x");
    await rename(piece, top);
  }
}

/**
 * Cause: Bun's rm took minutes for some thousands of levels, and a thread of Bun's pool meanwhile; there are as many as
 * cores.
 */
test("deep trees are removed, and other file operations go on meanwhile", async () => {
  const folder = await newFolder();
  const tops = Array.from({ length: availableParallelism() + 1 }, (_, index) => join(folder, `${index}`));
  for (const top of tops) await makeDeep(top, 3_000);
  const removed = Promise.all(tops.map((top) => removeTree(top)));
  for (let i = 0; i < 100; i += 1)
    await withTimeout(10_000, readFile("/proc/self/stat"), "a file could not be read meanwhile");
  await withTimeout(30_000, removed, "the trees were not removed in time");
  expect(tops.filter((top) => existsSync(top))).toEqual([]);
});

/** Cause: folders were made writable by their paths, which end at PATH_MAX, and all at once. */
test("an ordinary user removes read-only folders, at any depth", async () => {
  const folder = await newFolder();
  const top = join(folder, "top");
  await makeDeep(top, 3_000);
  await mkdir(join(top, "locked"));
  await writeFile(join(top, "locked", "file"), "x");
  const script = `import { removeTree } from ${JSON.stringify(join(import.meta.dir, "../../src/sandboxes/remove-tree.ts"))};
    await removeTree(${JSON.stringify(top)});`;
  await run("chmod", "-R", "a-w", top);
  await chmod(join(top, "locked"), 0);
  if (isRoot) await run("chown", "-R", "65534:65534", folder);
  const user = isRoot ? ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"] : [];
  const child = Bun.spawn([...user, process.execPath, "-e", script], {
    env: { PATH: process.env["PATH"] },
    stdio: ["ignore", "ignore", "pipe"],
    timeout: 30_000,
  });
  expect(await child.stderr.text()).toBe("");
  expect(await child.exited).toBe(0);
  expect(existsSync(top)).toBe(false);
});

test("files, links and what is not there are removed, and no link is followed", async () => {
  const folder = await newFolder();
  const [file, link, kept] = ["file", "link", "kept"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  await mkdir(kept);
  await writeFile(join(kept, "file"), "x");
  await writeFile(file, "x");
  await symlink(kept, link);
  for (const one of [file, link, join(folder, "missing")]) await removeTree(one);
  expect([file, link].filter((one) => existsSync(one))).toEqual([]);
  expect(existsSync(join(kept, "file"))).toBe(true);
});

test("what cannot be removed is an error that says why", () => {
  expect(removeTree("/proc/self/fdinfo")).rejects.toThrow(/^\/proc\/self\/fdinfo could not be removed: .*/);
});
