import { constants } from "node:fs";
import { lstat, mkdir, open, opendir, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { openUntrusted } from "../shared/untrusted-file.ts";
import { isListable } from "../shared/untrusted-folder.ts";
import { removeTree } from "./remove-tree.ts";

/**
 * What outlives a sandbox of an agent's state folder: the files that the agent names (see `Agent.keeps`), copied by this
 * process into a folder that no sandbox ever sees. Everything else is gone with the sandbox, so that a prompt cannot leave
 * settings or hooks to the next one.
 *
 * The state folder is hostile: nothing is followed that a program can make (links, FIFOs, devices), and what is copied is
 * limited. Call these while no program of the sandbox runs.
 */

/** All kept files of a session, bytes. */
const KEPT_BYTES = 64 * 1024 * 1024;
/** Files and folders that are looked at. */
const KEPT_ENTRIES = 2_000;
const DEPTH = 8;
const CHUNK_BYTES = 256 * 1024;
/** Folders in the session's own: the files; and while they are replaced, the new and the old ones. */
const KEPT = "kept";
const NEW = "new";
const OLD = "old";

/** @param path below the state folder, without a slash at its beginning. */
export type Keeps = (path: string, isFolder: boolean) => boolean;

interface Budget {
  bytes: number;
  entries: number;
}

/**
 * Copies what is kept into a new state folder.
 * @param folder of the session; it may be as an earlier version left it: a whole state folder.
 */
export async function restoreState(folder: string, state: string, keeps: Keeps): Promise<void> {
  const known = [KEPT, OLD].map((name) => join(folder, name));
  for (const source of [...known, folder])
    if (await isFolder(source)) {
      await copyTree({ from: source, to: state, path: "", keeps, depth: 0, budget: newBudget() });
      return;
    }
}

/** Replaces what is kept by what the state folder has now: all of it, or, after a crash, nothing. */
export async function keepState(state: string, folder: string, keeps: Keeps): Promise<void> {
  const [kept, draft, old] = [KEPT, NEW, OLD].map((name) => join(folder, name)) as [string, string, string];
  await removeTree(draft);
  await mkdir(draft, { recursive: true, mode: 0o700 });
  if (await isFolder(state))
    await copyTree({ from: state, to: draft, path: "", keeps, depth: 0, budget: newBudget() });
  if (await isFolder(kept)) {
    await removeTree(old);
    await rename(kept, old);
  } else await removeTree(kept);
  await rename(draft, kept);
  for (const name of await readdir(folder)) if (name !== KEPT) await removeTree(join(folder, name));
}

async function copyTree(options: {
  from: string;
  to: string;
  path: string;
  keeps: Keeps;
  depth: number;
  budget: Budget;
}): Promise<void> {
  const { from, to, path, keeps, depth, budget } = options;
  const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
  const folder = await open(from, flags).catch(() => undefined);
  if (!folder) return;
  // By descriptor: the path may lead elsewhere by now. Elsewhere than on Linux there are no sandboxes to distrust.
  const here = process.platform === "linux" ? `/proc/self/fd/${folder.fd}` : from;
  try {
    // The entries are counted below, but all of a folder are read before the first is known.
    if (!isListable(await folder.stat())) return;
    for await (const entry of await opendir(here)) {
      budget.entries -= 1;
      if (budget.entries < 0) return;
      const below = join(path, entry.name);
      if (!keeps(below, entry.isDirectory())) continue;
      const [source, target] = [join(here, entry.name), join(to, entry.name)];
      if (entry.isFile()) await copyFile(source, target, budget);
      else if (entry.isDirectory() && depth < DEPTH) {
        await mkdir(target, { recursive: true, mode: 0o700 });
        await copyTree({ ...options, from: source, to: target, path: below, depth: depth + 1 });
      }
    }
  } finally {
    await folder.close();
  }
}

/** A file that is too large is left out: a part of it would be of no use. */
async function copyFile(source: string, target: string, budget: Budget): Promise<void> {
  const file = await openUntrusted(source);
  if (!file) return;
  try {
    const { size, mode } = await file.stat();
    if (size > budget.bytes) return;
    const copy = await open(target, "wx", 0o600 | (mode & 0o100));
    try {
      const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, Math.max(1, size)));
      for (let at = 0; at < size; ) {
        const { bytesRead } = await file.read(chunk, 0, Math.min(chunk.length, size - at), at);
        if (bytesRead === 0) break;
        await copy.write(chunk, 0, bytesRead);
        at += bytesRead;
      }
    } finally {
      await copy.close();
    }
    budget.bytes -= size;
  } finally {
    await file.close();
  }
}

const newBudget = (): Budget => ({ bytes: KEPT_BYTES, entries: KEPT_ENTRIES });

const isFolder = (path: string): Promise<boolean> =>
  lstat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
