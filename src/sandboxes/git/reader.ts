import { randomBytes } from "node:crypto";
import { createDiffReader, type Diff, type DiffLimits } from "./diff-output.ts";
import { RepositoryError } from "./git-errors.ts";
import { bytesOf, encodedPath, pathIn } from "./git-paths.ts";
import {
  COMMITS,
  CONFLICTS,
  CONTAINED,
  CONTAINING,
  DIFF,
  DIFFS_TO,
  MERGED_BASE,
  PARTED,
  PATCH,
  SESSION_COMMITS,
  SHOW,
} from "./read-scripts.ts";
import { EXIT } from "./script-parts.ts";
import { sessionRefs } from "./session-refs.ts";
import { type StoreGit, succeeded } from "./store-git.ts";

/** What git may print of one diff before it is cut off. */
const DIFF_BYTES = 64 * 1024 * 1024;
/** Of several diffs together, which are in memory at once. */
const DIFFS_BYTES = 16 * 1024 * 1024;
const COMMITS_BYTES = 8 * 1024 * 1024;
const COMMIT = /^([0-9a-f]{40}|[0-9a-f]{64})$/;

export interface GitCommit {
  id: string;
  parents: string[];
  author: { name: string; email: string };
  /** ISO 8601, with the author's time zone. */
  at: string;
  subject: string;
  body: string;
}

export const ENTRY_TYPES = ["file", "directory", "symlink", "submodule"] as const;

export interface TreeEntry {
  /** As git quotes it, where it is not valid UTF-8. */
  name: string;
  type: (typeof ENTRY_TYPES)[number];
  executable: boolean;
  /** Of the object: of a submodule, its commit. */
  id: string;
  /** In bytes; null: it has none. */
  size: number | null;
}

export type Shown =
  | { type: "directory"; id: string; entries: TreeEntry[]; truncated: boolean }
  /** @param size of the whole file. @param bytes up to the limit. */
  | { type: "file"; id: string; size: number; bytes: Uint8Array }
  | { type: "submodule"; id: string };

export interface DiffRange {
  /** Commits; `from` may be a tree. */
  from: string;
  to: string;
  /** Lines around each change. */
  context: number;
  /** Undefined: all. Two for a file that was renamed. */
  paths?: readonly string[] | undefined;
}

/**
 * What a session has done, read in the store: no checkout, no network, and nothing is written there. Commits must be the
 * session's own (`contains`), because a store has those of all sessions of its repository.
 * @throws RepositoryError
 */
export interface RepositoryReader {
  /** The target branch as it was last fetched, and the session's work; undefined: this store has neither. */
  commits(sessionId: string, signal: AbortSignal): Promise<{ target: string; head: string } | undefined>;
  /** Whether a commit is the session's, or of the target branch. */
  contains(sessionId: string, commit: string, signal: AbortSignal): Promise<boolean>;
  /** Whether a commit is another one, or before it. */
  isIn(commit: string, other: string, signal: AbortSignal): Promise<boolean>;
  /**
   * Where the work has parted from its target branch; the empty tree, if they have nothing in common. And what its commits are
   * counted from: the target branch, unless too little of its history was fetched.
   */
  parted(
    sessionId: string,
    ends: { target: string; head: string },
    signal: AbortSignal,
  ): Promise<{ base: string; since: string }>;
  /** Where they had parted before the merge; `began`, if the branch was only moved to the commit. */
  mergedBase(merge: { into: string; commit: string; began: string }, signal: AbortSignal): Promise<string>;
  diff(range: DiffRange, limits: DiffLimits, signal: AbortSignal): Promise<Diff>;
  /** The same from each of several commits, by one run. @returns those that could be read, and are not too much together. */
  diffsTo(
    range: Omit<DiffRange, "from" | "paths"> & { from: readonly string[] },
    limits: DiffLimits,
    signal: AbortSignal,
  ): Promise<Map<string, Diff>>;
  /** For `git apply`. @returns undefined: it is larger than `maxBytes`. */
  patch(range: DiffRange, maxBytes: number, signal: AbortSignal): Promise<Uint8Array | undefined>;
  /** The files that git cannot merge by itself; null: it cannot tell, being too old, or having too little of the history. */
  conflicts(target: string, head: string, signal: AbortSignal): Promise<string[] | null>;
  /** Those of `head` that `target` lacks, newest first. */
  log(target: string, head: string, max: number, signal: AbortSignal): Promise<GitCommit[]>;
  /** What is at a path of a commit; undefined: nothing. @param lines the first and the last of a file, from 1. */
  show(
    at: { commit: string; path: string; lines?: readonly [number, number] | undefined },
    maxBytes: number,
    signal: AbortSignal,
  ): Promise<Shown | undefined>;
}

export function openReader({ inStore }: Pick<StoreGit, "inStore">): RepositoryReader {
  const printed = async (script: string, args: readonly string[], signal: AbortSignal) =>
    succeeded(await inStore(script, args, signal, { readOnly: true, timeoutIsFinal: true }));
  /** @returns how many bytes there were. */
  const streamed = async (
    script: string,
    args: readonly string[],
    take: (part: Uint8Array) => void,
    signal: AbortSignal,
  ) => {
    let bytes = 0;
    const stdout = (part: Uint8Array) => {
      bytes += part.length;
      take(part);
    };
    const result = await inStore(script, args, signal, { readOnly: true, timeoutIsFinal: true, stdout });
    return { bytes, result };
  };
  const collected = async (script: string, args: readonly string[], signal: AbortSignal) => {
    const parts: Uint8Array[] = [];
    const { result } = await streamed(script, args, (part) => parts.push(part), signal);
    return { result, bytes: Buffer.concat(parts) };
  };
  const rangeArgs = ({ from, to, context, paths = [] }: DiffRange, most: number) => [
    ...[from, to, `${context}`, `${most}`],
    ...paths.flatMap((path) => {
      const bytes = bytesOf(path);
      return bytes ? [encodedPath(bytes)] : [];
    }),
  ];

  return {
    async commits(sessionId, signal) {
      const out = await printed(SESSION_COMMITS, [sessionRefs(sessionId)], signal);
      const [target, head] = out.trim().split(" ");
      return target && head ? { target, head } : undefined;
    },

    async contains(sessionId, commit, signal) {
      if (!COMMIT.test(commit)) return false;
      return (await printed(CONTAINING, [sessionRefs(sessionId), commit], signal)) !== "";
    },

    async isIn(commit, other, signal) {
      return (await printed(CONTAINED, [commit, other], signal)) !== "";
    },

    async parted(sessionId, { target, head }, signal) {
      const out = await printed(PARTED, [target, head, sessionRefs(sessionId)], signal);
      const [base = "", since = ""] = out.trim().split(" ");
      return { base, since };
    },

    async mergedBase({ into, commit, began }, signal) {
      return (await printed(MERGED_BASE, [into, commit, began], signal)).trim();
    },

    async diff(range, limits, signal) {
      const reader = createDiffReader(limits);
      const args = rangeArgs(range, DIFF_BYTES);
      const { bytes, result } = await streamed(DIFF, args, reader.take, signal);
      succeeded(result);
      return reader.end(bytes < DIFF_BYTES);
    },

    async diffsTo({ from, to, context }, limits, signal) {
      // Whoever has written what is in the diffs cannot have written it there.
      const word = randomBytes(16).toString("hex");
      const args = [to, `${context}`, `${DIFFS_BYTES}`, word, ...from];
      const { bytes, result } = await collected(DIFFS_TO, args, signal);
      succeeded(result);
      const found = new Map<string, Diff>();
      let at = 0;
      for (const commit of from) {
        const end = bytes.indexOf(`\n${word} `, at);
        const next = bytes.indexOf("\n", end + 1) + 1;
        if (end < 0 || next === 0) break;
        if (bytes.toString("latin1", end, next) === `\n${word} 0\n`) {
          const reader = createDiffReader(limits);
          reader.take(bytes.subarray(at, end));
          found.set(commit, reader.end(true));
        }
        at = next;
      }
      return found;
    },

    async patch(range, maxBytes, signal) {
      const { bytes, result } = await collected(PATCH, rangeArgs(range, maxBytes + 1), signal);
      succeeded(result);
      return bytes.length > maxBytes ? undefined : bytes;
    },

    async conflicts(target, head, signal) {
      const { bytes, result } = await collected(CONFLICTS, [target, head], signal);
      if (result.code === EXIT.tooOld || result.code === EXIT.apart) return null;
      succeeded(result);
      const [, ...paths] = splitAtNul(bytes);
      return paths.filter((path) => path.length > 0).map(pathIn);
    },

    async log(target, head, max, signal) {
      const args = [target, head, `${max}`, `${COMMITS_BYTES}`];
      const out = await printed(COMMITS, args, signal);
      const fields = out.split("\0");
      const found: GitCommit[] = [];
      // What was cut off at the end is incomplete.
      for (let at = 0; at + 7 < fields.length; at += 7) {
        const [id = "", parents = "", name = "", email = "", date = "", subject = "", body = ""] =
          fields.slice(at, at + 7);
        const author = { name, email };
        found.push({
          id,
          parents: parents.split(" ").filter(Boolean),
          author,
          at: date,
          subject,
          body: body.trim(),
        });
      }
      return found;
    },

    async show({ commit, path, lines }, maxBytes, signal) {
      const bytes = path === "" ? new Uint8Array() : bytesOf(path);
      if (!bytes) return undefined;
      const range = lines ? [`${lines[0]}`, `${lines[1]}`] : ["", ""];
      const args = [commit, encodedPath(bytes), `${maxBytes}`, ...range];
      const { bytes: output, result } = await collected(SHOW, args, signal);
      if (result.code === EXIT.missing) return undefined;
      succeeded(result);
      const end = output.indexOf("\n");
      const [type, id = "", size = ""] = output.toString("latin1", 0, Math.max(end, 0)).split(" ");
      const content = output.subarray(end + 1);
      if (type === "commit") return { type: "submodule", id };
      if (type === "blob") return { type: "file", id, size: Number(size), bytes: content };
      if (type !== "tree") throw new RepositoryError(`There is no file in a repository of the type ${type}.`);
      const entries = splitAtNul(content).flatMap(entryIn);
      return { type: "directory", id, entries, truncated: content.length >= maxBytes };
    },
  };
}

/** @returns what is before each NUL. */
function splitAtNul(bytes: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  let from = 0;
  for (let end = bytes.indexOf(0); end >= 0; end = bytes.indexOf(0, from)) {
    parts.push(bytes.subarray(from, end));
    from = end + 1;
  }
  return parts;
}

function entryIn(line: Buffer): TreeEntry[] {
  const tab = line.indexOf("\t");
  const [mode, kind, id, size] = line.toString("latin1", 0, Math.max(tab, 0)).trim().split(/ +/);
  if (mode === undefined || id === undefined) return [];
  const type =
    kind === "tree" ? "directory" : kind === "commit" ? "submodule" : mode === "120000" ? "symlink" : "file";
  return [
    {
      ...{ name: pathIn(line.subarray(tab + 1)), type, executable: mode === "100755", id },
      size: size === undefined || size === "-" ? null : Number(size),
    },
  ];
}
