import { constants } from "node:fs";
import { lstat, mkdir, open, opendir, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import type { MemoryFile } from "../db/json-columns.ts";
import { openUntrusted, readFully } from "../shared/untrusted-file.ts";
import { isListable } from "../shared/untrusted-folder.ts";
import { removeTree } from "./remove-tree.ts";
import { hashOf, PIECE_BYTES, readPiece } from "./state-pieces.ts";

/**
 * What outlives a sandbox of an agent's state folder: the files that the agent names (see `Agent.keeps`), copied by this
 * process into a folder that no sandbox ever sees. Everything else is gone with the sandbox, so that a prompt cannot leave
 * settings or hooks to the next one.
 *
 * The state folder is hostile: nothing is followed that a program can make (links, FIFOs, devices), and what is copied is
 * limited, by what stat says before anything is read. Call these while no program of the sandbox runs.
 */

/** Files and folders that are looked at. */
const KEPT_ENTRIES = 2_000;
const DEPTH = 8;
/** Folders in the session's own: the files; and while they are replaced, the new and the old ones. */
const KEPT = "kept";
const NEW = "new";
const OLD = "old";

/** @param path below the state folder, without a slash at its beginning. */
export type Keeps = (path: string, isFolder: boolean) => boolean;

/** Replaces in a file's bytes what must not outlive the sandbox. */
export interface Clean {
  bytes(bytes: Buffer): Buffer;
}

/**
 * Why a state cannot be kept: it is over the limit; it has too many entries, or too deep ones; what should be kept is no
 * regular file.
 */
export type StateProblem = "too_large" | "too_many" | "not_files";

/** What was kept of a state. */
export interface KeptState {
  files: MemoryFile[];
  /** Of all files, bytes. */
  bytes: number;
  /** Set: nothing was kept, because a part of it would be of no use. */
  problem?: StateProblem;
  /** One piece of a file. */
  read(file: MemoryFile, index: number): Promise<Uint8Array>;
}

interface Copy {
  keeps: Keeps;
  maxBytes: number;
  entries: number;
  files: MemoryFile[];
  bytes: number;
  notFiles: boolean;
  clean: Clean | undefined;
}

const newCopy = (keeps: Keeps, maxBytes: number, clean?: Clean): Copy => ({
  ...{ keeps, maxBytes, clean, entries: KEPT_ENTRIES },
  ...{ files: [], bytes: 0, notFiles: false },
});

class Refused extends Error {
  constructor(readonly problem: StateProblem) {
    super(problem);
  }
}

/** Where the session's files are kept. It may be as an earlier version left it: a whole state folder. */
export async function keptFolder(folder: string): Promise<string | undefined> {
  for (const one of [join(folder, KEPT), join(folder, OLD), folder]) if (await isFolder(one)) return one;
  return undefined;
}

/** Copies what is kept on this machine into a new state folder, whether or not it is the newest. */
export async function copyKept(folder: string, state: string, keeps: Keeps, maxBytes: number): Promise<void> {
  const from = await keptFolder(folder);
  if (from !== undefined) await copyTree(newCopy(keeps, maxBytes), { from, to: state, path: "", depth: 0 });
}

/**
 * Replaces what is kept by what the state folder has now: all of it, or, after a crash, nothing.
 * @param maxBytes of all files together.
 */
export async function keepState(
  state: string,
  folder: string,
  keeps: Keeps,
  maxBytes: number,
  clean?: Clean,
): Promise<KeptState> {
  const [kept, draft, old] = [KEPT, NEW, OLD].map((name) => join(folder, name)) as [string, string, string];
  await removeTree(draft);
  await mkdir(draft, { recursive: true, mode: 0o700 });
  const copy = newCopy(keeps, maxBytes, clean);
  let problem: StateProblem | undefined;
  try {
    if (await isFolder(state)) await copyTree(copy, { from: state, to: draft, path: "", depth: 0 });
    if (copy.files.length === 0 && copy.notFiles) problem = "not_files";
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    problem = error.problem;
    await removeTree(draft);
    await mkdir(draft, { mode: 0o700 });
  }
  if (await isFolder(kept)) {
    await removeTree(old);
    await rename(kept, old);
  } else await removeTree(kept);
  await rename(draft, kept);
  for (const name of await readdir(folder)) if (name !== KEPT) await removeTree(join(folder, name));
  const read = (file: MemoryFile, index: number) => readPiece(join(kept, file.path), index);
  if (problem) return { files: [], bytes: 0, problem, read };
  return { files: copy.files, bytes: copy.bytes, read };
}

async function copyTree(
  copy: Copy,
  at: { from: string; to: string; path: string; depth: number },
): Promise<void> {
  const { from, to, path, depth } = at;
  const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
  const folder = await open(from, flags).catch(() => undefined);
  if (!folder) return;
  try {
    // By the descriptor: the path may lead elsewhere by now.
    const here = `/proc/self/fd/${folder.fd}`;
    if (!isListable(await folder.stat())) throw new Refused("too_many");
    for await (const entry of await opendir(here)) {
      copy.entries -= 1;
      if (copy.entries < 0) throw new Refused("too_many");
      const below = join(path, entry.name);
      if (!copy.keeps(below, entry.isDirectory())) continue;
      const [source, target] = [join(here, entry.name), join(to, entry.name)];
      if (entry.isFile()) await copyFile(copy, { source, target, path: below });
      else if (entry.isDirectory()) {
        if (depth >= DEPTH) throw new Refused("too_many");
        await mkdir(target, { recursive: true, mode: 0o700 });
        await copyTree(copy, { from: source, to: target, path: below, depth: depth + 1 });
      } else copy.notFiles = true;
    }
  } finally {
    await folder.close();
  }
}

async function copyFile(copy: Copy, one: { source: string; target: string; path: string }): Promise<void> {
  const file = await openUntrusted(one.source);
  if (!file) {
    copy.notFiles = true;
    return;
  }
  try {
    const { size, mode } = await file.stat();
    if (copy.bytes + size > copy.maxBytes) throw new Refused("too_large");
    copy.bytes += size;
    const chunks: string[] = [];
    const target = await open(one.target, "wx", 0o600 | (mode & 0o100));
    let written = 0;
    const write = async (piece: Buffer) => {
      chunks.push(hashOf(piece));
      await target.write(piece, 0, piece.length, written);
      written += piece.length;
    };
    try {
      // As a whole where it is cleaned: what is replaced may be at the border of two pieces.
      const length = copy.clean ? size : Math.min(PIECE_BYTES, size);
      const buffer = Buffer.allocUnsafe(Math.max(1, length));
      for (let at = 0; at < size; ) {
        const piece = buffer.subarray(0, Math.min(length, size - at));
        // It has shrunk meanwhile.
        if ((await readFully(file, piece, at)) < piece.length) throw new Refused("not_files");
        at += piece.length;
        const clean = copy.clean?.bytes(piece) ?? piece;
        for (let from = 0; from < clean.length; from += PIECE_BYTES)
          await write(clean.subarray(from, from + PIECE_BYTES));
      }
    } finally {
      await target.close();
    }
    copy.files.push({
      path: one.path,
      size: written,
      ...((mode & 0o100) !== 0 && { executable: true }),
      chunks,
    });
  } finally {
    await file.close();
  }
}

const isFolder = (path: string): Promise<boolean> =>
  lstat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
