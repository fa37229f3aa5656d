import { LRUCache } from "lru-cache";
import PQueue from "p-queue";
import type { Diff, FileDiff } from "../sandboxes/git/diff-output.ts";
import type { DiffRange, RepositoryReader } from "../sandboxes/git/reader.ts";
import { AppError } from "../shared/errors.ts";
import { MIB } from "../shared/units.ts";

/** Of one file among others, of one file alone, and of all, in bytes of lines. */
const LIMITS = { files: 20_000, fileBytes: MIB / 2, allBytes: 8 * MIB };
const ONE_FILE = { files: 2, fileBytes: 8 * MIB, allBytes: 8 * MIB };
const MAX_PATCH_BYTES = 32 * MIB;
/** Diffs that one run of git reads. */
const AHEAD = 500;
const CACHE_BYTES = 96 * MIB;
/** Reads of git at once: each may take as much memory as a run of git may. */
const READS = 4;

/** A range of commits, and one of its paths. Commits never change, and so does nothing of their difference. */
export interface DiffOf {
  from: string;
  to: string;
  context: number;
  path: string | undefined;
}

/** Differences between commits, kept while there is room, and as JSON, which takes longer to write than to find. */
export interface Diffs {
  read(read: RepositoryReader, wanted: DiffOf, signal: AbortSignal): Promise<KeptDiff>;
  /** Reads those from many commits by one run of git, as far as they fit: `read` then has them. */
  readAhead(
    read: RepositoryReader,
    wanted: { from: readonly string[]; to: string; context: number },
    signal: AbortSignal,
  ): Promise<void>;
  /** For `git apply`. @throws AppError `too_large`, `file_not_found`. */
  patch(read: RepositoryReader, wanted: DiffOf, signal: AbortSignal): Promise<Uint8Array>;
  /** The files that cannot be merged; null: git cannot tell. */
  conflicts(
    read: RepositoryReader,
    target: string,
    head: string,
    signal: AbortSignal,
  ): Promise<readonly string[] | null>;
}

export interface KeptDiff extends Pick<Diff, "additions" | "deletions" | "truncated"> {
  /** The FileDiffDtos, as a JSON array. */
  json: string;
  /** The paths of each file before and after; the first is null where it did not exist under another name. */
  names: readonly (readonly [string | null, string])[];
}

export function openDiffs(): Diffs {
  const kept = new LRUCache<string, KeptDiff>({
    maxSize: CACHE_BYTES,
    sizeCalculation: ({ json, names }) => 2 * json.length + 100 * names.length + 100,
  });
  const conflicting = new LRUCache<string, { paths: readonly string[] | null }>({ max: 2_000 });
  const queue = new PQueue({ concurrency: READS });
  const running = new Map<string, Promise<unknown>>();

  /** Those who ask for the same at once share the answer. */
  const once = <T>(key: string, work: () => Promise<T>): Promise<T> => {
    const before = running.get(key);
    if (before) return before as Promise<T>;
    const started = queue.add(work).finally(() => running.delete(key)) as Promise<T>;
    running.set(key, started);
    return started;
  };

  const read: Diffs["read"] = (reader, wanted, signal) => {
    const key = JSON.stringify([wanted.from, wanted.to, wanted.context, wanted.path ?? null]);
    const found = kept.get(key);
    if (found) return Promise.resolve(found);
    if (wanted.path === undefined)
      return once(key, async () => {
        const diff = await reader.diff(rangeOf(wanted), LIMITS, signal);
        return keep(key, diff, diff.files);
      });
    return pathsOf(reader, wanted, signal).then((paths) =>
      once(key, async () => {
        const diff = await reader.diff({ ...rangeOf(wanted), paths }, ONE_FILE, signal);
        // A folder of the same name, which the file has replaced, is in it, too.
        return keep(
          key,
          diff,
          diff.files.filter(({ path }) => path === wanted.path),
        );
      }),
    );
  };

  const keep = (key: string, diff: Diff, files: readonly FileDiff[]): KeptDiff => {
    const { additions, deletions, truncated } = diff;
    const names = files.map(({ oldPath, path }) => [oldPath, path] as const);
    const one = { additions, deletions, truncated, json: JSON.stringify(files.map(toDto)), names };
    kept.set(key, one);
    return one;
  };

  /** The names that git must know to find that it is a renamed file. */
  const pathsOf = async (reader: RepositoryReader, wanted: DiffOf, signal: AbortSignal) => {
    if (wanted.path === undefined) return undefined;
    const { names } = await read(reader, { ...wanted, path: undefined }, signal);
    const found = names.find(([, path]) => path === wanted.path);
    if (found) return found.filter((name) => name !== null);
    throw new AppError(
      "file_not_found",
      `path: ${JSON.stringify(wanted.path.slice(0, 200))} is not among the files that were changed.`,
    );
  };

  return {
    read,

    async readAhead(reader, { from, ...range }, signal) {
      const keyOf = (one: string) => JSON.stringify([one, range.to, range.context, null]);
      const unknown = [...new Set(from)].filter((one) => !kept.has(keyOf(one))).slice(0, AHEAD);
      if (unknown.length < 2) return;
      const key = JSON.stringify(["ahead", range, unknown]);
      const found = await once(key, () => reader.diffsTo({ ...range, from: unknown }, LIMITS, signal));
      for (const [one, diff] of found) keep(keyOf(one), diff, diff.files);
    },

    async patch(reader, wanted, signal) {
      const paths = await pathsOf(reader, wanted, signal);
      const key = JSON.stringify(["patch", wanted]);
      const range = { ...rangeOf(wanted), paths };
      const bytes = await once(key, () => reader.patch(range, MAX_PATCH_BYTES, signal));
      if (bytes) return bytes;
      throw new AppError(
        "too_large",
        `The diff has more than ${MAX_PATCH_BYTES / MIB} MB; ask for its files one by one with path=, or fetch the branch.`,
      );
    },

    async conflicts(reader, target, head, signal) {
      const key = `${target} ${head}`;
      const found = conflicting.get(key);
      if (found) return found.paths;
      const paths = await once(`conflicts ${key}`, () => reader.conflicts(target, head, signal));
      conflicting.set(key, { paths });
      return paths;
    },
  };
}

const rangeOf = ({ from, to, context }: DiffOf): DiffRange => ({ from, to, context });

/** As model.ts describes it. */
const toDto = (file: FileDiff) => ({
  ...{ path: file.path, old_path: file.oldPath, status: file.status },
  ...{ old_mode: file.oldMode, new_mode: file.newMode },
  ...{ additions: file.additions, deletions: file.deletions },
  ...{ binary: file.binary, too_large: file.tooLarge },
  hunks: file.hunks.map((hunk) => ({
    ...{ old_start: hunk.oldStart, old_lines: hunk.oldLines },
    ...{ new_start: hunk.newStart, new_lines: hunk.newLines },
    ...{ heading: hunk.heading, lines: hunk.lines },
  })),
});
