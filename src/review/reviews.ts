import { LRUCache } from "lru-cache";
import type { Orm } from "../db/client.ts";
import type { GitCommit, Shown } from "../sandboxes/git/reader.ts";
import type { RepositoryReader } from "../sandboxes/sandbox.ts";
import { AppError, notFound } from "../shared/errors.ts";
import { withTimeout } from "../shared/time.ts";
import { MIB } from "../shared/units.ts";
import { asReply, type Branches, openBranchFinder, orUnavailable, type Stores } from "./branches.ts";
import { type DiffOf, type KeptDiff, openDiffs } from "./diffs.ts";
import { readWork, type WorkRow } from "./store.ts";

const MAX_COMMITS = 1_000;
const MAX_SHOWN_BYTES = 10 * MIB;
/** The server answers within 30 s. */
const ANSWER_MS = 22_000;

/** A session's work, ready to be read. */
export interface Work extends Branches {
  row: WorkRow;
}

/** What was done in sessions, for people to review: read from this machine's copy of each repository. */
export interface Reviews {
  /**
   * @param options.fresh the branches as they are, not as they were a moment ago.
   * @throws AppError `session_not_found`, also of other users' sessions; `repository_unreadable`, `repository_unavailable`.
   */
  work(userId: string, sessionId: string, options?: { fresh: boolean }): Promise<Work>;
  /** The session's whole work, or that of one prompt. @throws AppError `prompt_not_found`, `commit_unknown`. */
  rangeOf(work: Work, promptId: string | undefined): { from: string; to: string };
  diff(work: Work, wanted: DiffOf): Promise<KeptDiff>;
  /** Reads the whole diffs from many commits at once, so that `diff` has them. */
  readAhead(work: Work, wanted: { from: readonly string[]; to: string; context: number }): Promise<void>;
  /** For `git apply`. */
  patch(work: Work, wanted: DiffOf): Promise<Uint8Array>;
  /** The files that cannot be merged into the target branch as it is; null: git cannot tell. */
  conflicts(work: Work): Promise<readonly string[] | null>;
  /** The work's commits, newest first: up to 1,000. */
  commits(work: Work): Promise<readonly GitCommit[]>;
  /**
   * @param ref `head`, `target`, or a commit of the session or of its target branch.
   * @param field what the request calls it. Default: ref. @throws AppError `commit_not_found`
   */
  commitOf(work: Work, ref: string, field?: string): Promise<string>;
  /** What is at a path of such a commit, up to 10 MB of it. @throws AppError `file_not_found` */
  show(
    work: Work,
    at: { commit: string; path: string; lines?: readonly [number, number] | undefined },
  ): Promise<Shown>;
  close(): Promise<void>;
}

export function openReviews(options: {
  orm: Orm;
  sandboxes: Stores;
  /** How long a request waits for a fetch, ms: where there is something older to show, and where there is not. */
  patience?: { some: number; none: number };
}): Reviews {
  const { orm, sandboxes } = options;
  const finder = openBranchFinder(options);
  const diffs = openDiffs();
  const logs = new LRUCache<string, readonly GitCommit[]>({ max: 200 });
  const closing = new AbortController();
  const { signal } = closing;

  /** It goes on when the request has given up, and is kept then. */
  const reading = <T>({ row }: Work, work: (read: RepositoryReader) => Promise<T>): Promise<T> =>
    orUnavailable(
      () =>
        asReply(() =>
          withTimeout(
            ANSWER_MS,
            Promise.resolve(sandboxes.repositoryFor(row)).then(({ read }) => work(read)),
            "git is still reading",
          ),
        ),
      "This takes longer than a request may; ask again.",
    );

  return {
    async work(userId, sessionId, options) {
      const row = await readWork(orm, userId, sessionId);
      return { row, ...(await finder.find(row, options)) };
    },

    rangeOf({ row, base, head }, promptId) {
      if (promptId === undefined) return { from: base, to: head };
      const prompt = row.prompts.find(({ id }) => id === promptId.toLowerCase());
      if (!prompt) throw notFound("prompt", promptId);
      if (prompt.start !== null) return { from: prompt.start, to: prompt.commit };
      throw new AppError(
        "commit_unknown",
        "prompt_id: what the branch was before this prompt is not known, because it is from an older version of the service; ask for the diff of the session.",
      );
    },

    diff: (work, wanted) => reading(work, (read) => diffs.read(read, wanted, signal)),
    readAhead: (work, wanted) => reading(work, (read) => diffs.readAhead(read, wanted, signal)),
    patch: (work, wanted) => reading(work, (read) => diffs.patch(read, wanted, signal)),
    conflicts: (work) => reading(work, (read) => diffs.conflicts(read, work.target, work.head, signal)),

    async commits(work) {
      const { since, head } = work;
      const key = `${since} ${head}`;
      const found = logs.get(key);
      if (found) return found;
      const commits = await reading(work, (read) => read.log(since, head, MAX_COMMITS, signal));
      logs.set(key, commits);
      return commits;
    },

    async commitOf(work, ref, field = "ref") {
      if (ref === "head" || ref === work.head) return work.head;
      if (ref === "target" || ref === work.target) return work.target;
      // The same store has what other people's sessions have done.
      if (await reading(work, (read) => read.contains(work.row.id, ref, signal))) return ref;
      throw new AppError(
        "commit_not_found",
        `${field}: ${JSON.stringify(ref.slice(0, 100))} is neither a commit of this session or its target branch (40 hexadecimal digits), nor head, nor target.`,
      );
    },

    async show(work, at) {
      const shown = await reading(work, (read) => read.show(at, MAX_SHOWN_BYTES, signal));
      if (shown) return shown;
      throw new AppError(
        "file_not_found",
        `path: there is no ${JSON.stringify(at.path.slice(0, 200))} in the commit ${at.commit}.`,
      );
    },

    async close() {
      closing.abort();
      await finder.close();
    },
  };
}
