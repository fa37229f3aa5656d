import { LRUCache } from "lru-cache";
import PQueue from "p-queue";
import { recordAudit } from "../db/audit-log.ts";
import type { Orm } from "../db/client.ts";
import { readUnpushed } from "../runs/unpushed-store.ts";
import {
  type FetchRequest,
  NotIsolated,
  RepositoryError,
  type SandboxProvider,
} from "../sandboxes/sandbox.ts";
import { AppError } from "../shared/errors.ts";
import { createKeyedMutex } from "../shared/keyed-mutex.ts";
import { TimeoutError, withTimeout } from "../shared/time.ts";
import type { WorkRow } from "./store.ts";

/** The states of a session's branches between which its work lies. */
export interface Branches {
  /** The target branch. */
  target: string;
  /** The session's work, with what others have pushed to its branch. */
  head: string;
  /** What the work is compared with: where the two have parted. */
  base: string;
  /** What its commits are counted from. */
  since: string;
  /** The target branch has all of it: `base` is from before that. */
  merged: boolean;
}

/** How long what was fetched counts as the present. */
const FRESH_MS = 15_000;
/** How long a request waits for a fetch, if this machine has something older to show. */
const PATIENCE_MS = 5_000;
/** If it has nothing; the server answers within 30 s. */
const LONG_PATIENCE_MS = 22_000;
const FETCH_TIMEOUT_MS = 10 * 60_000;
const SESSIONS = 2_000;
/** Fetches at once, one for each user: each may take as much memory as a run of git may. */
const FETCHES = 8;

/** Finds the branches of sessions, on whatever machine their work was done. */
export interface BranchFinder {
  /**
   * Fetches them unless that was done a moment ago; `fresh`: also then. While the host of the repository does not answer, what
   * this machine has fetched before is the answer, as long as it has all that the session has done.
   * @throws AppError `repository_unreadable`, `repository_unavailable`.
   */
  find(work: WorkRow, options?: { fresh: boolean }): Promise<Branches>;
  close(): Promise<void>;
}

/** The sandboxes of this machine, which a request may be too early for. */
export interface Stores {
  repositoryFor(
    ...request: Parameters<SandboxProvider["repositoryFor"]>
  ): MaybePromise<ReturnType<SandboxProvider["repositoryFor"]>>;
}
type MaybePromise<T> = T | Promise<T>;

export function openBranchFinder(options: {
  orm: Orm;
  sandboxes: Stores;
  patience?: { some: number; none: number };
}): BranchFinder {
  const { orm, sandboxes, patience = { some: PATIENCE_MS, none: LONG_PATIENCE_MS } } = options;
  const closing = new AbortController();
  const known = new LRUCache<string, Branches & { work: string }>({ max: SESSIONS, ttl: FRESH_MS });
  const noted = new LRUCache<string, true>({ max: SESSIONS });
  /** A host that is slow on purpose must not keep others waiting. */
  const ofUser = createKeyedMutex();
  const fetches = new PQueue({ concurrency: FETCHES });
  const fetching = new Map<string, Promise<Branches>>();

  const parted = async (
    work: WorkRow,
    ends: Pick<Branches, "target" | "head">,
    signal: AbortSignal,
  ): Promise<Branches> => {
    const { read } = await sandboxes.repositoryFor(work);
    const { base, since } = await read.parted(work.id, ends, signal);
    const began = work.prompts[0]?.start ?? null;
    const last = work.prompts.at(-1)?.commit;
    // Without a difference there is no work, or the target branch has it; the session's branch may be gone since.
    if (base !== ends.head || began === null || last === undefined || last === began)
      return { ...ends, base, since, merged: false };
    const before = await read.mergedBase({ into: ends.target, commit: last, began }, signal);
    return { ...ends, head: last, base: before, since: before, merged: true };
  };

  /** Once a session: a page may ask every few seconds. */
  const noteSecret = async (work: WorkRow, secret: string, host: string) => {
    const use = `${work.id} ${secret} ${host}`;
    if (noted.has(use)) return;
    const detail = { host, session: work.id };
    await recordAudit(orm, { actor: work.userId, action: "secret.use", target: `secret:${secret}`, detail });
    noted.set(use, true);
  };

  const requestFor = (work: WorkRow, signal: AbortSignal): FetchRequest => {
    const { id, repo, targetBranch, branch, startCommit, pushedCommit, unpushedCommit, unpushedHost } = work;
    return {
      ...{ sessionId: id, repo, targetBranch, branch, startCommit, began: work.prompts[0]?.start ?? null },
      pushes: { commit: pushedCommit },
      unpushed: {
        ...{ commit: unpushedCommit, host: unpushedHost },
        read: (file) => readUnpushed(orm, { sessionId: id, file, signal }),
      },
      useSecret: (secret, host) => noteSecret(work, secret, host),
    };
  };

  const fetch = (work: WorkRow): Promise<Branches> => {
    const running = fetching.get(work.id);
    if (running) return running;
    const signal = AbortSignal.any([closing.signal, AbortSignal.timeout(FETCH_TIMEOUT_MS)]);
    const started = async () => {
      const repository = await sandboxes.repositoryFor(work);
      const fetched = await repository.fetch(requestFor(work, signal), signal);
      const branches = await parted(work, { target: fetched.base, head: fetched.start }, signal);
      known.set(work.id, { ...branches, work: stateOf(work) });
      return branches;
    };
    const inTurn = () => fetches.add(started, { signal });
    const result = ofUser(work.userId, inTurn, signal).finally(() => fetching.delete(work.id));
    fetching.set(work.id, result);
    return result;
  };

  /** What this machine has; undefined: not all of it. */
  const stored = async (work: WorkRow): Promise<Branches | undefined> => {
    const { read } = await sandboxes.repositoryFor(work);
    const ends = await read.commits(work.id, closing.signal);
    if (!ends) return undefined;
    const last = work.prompts.at(-1)?.commit ?? work.startCommit;
    const hasAll = last === null || last === ends.head || (await read.isIn(last, ends.head, closing.signal));
    return hasAll ? parted(work, ends, closing.signal) : undefined;
  };

  const find: BranchFinder["find"] = async (work, { fresh } = { fresh: false }) => {
    const before = known.get(work.id);
    if (!fresh && before && before.work === stateOf(work)) return before;
    const fetched = fetch(work);
    // It goes on when this request has given up, and its failure is then nobody's.
    fetched.catch(() => undefined);
    const within = (ms: number) => withTimeout(ms, fetched, "the fetch has not ended yet");
    try {
      return await within(patience.some);
    } catch (error) {
      const older = await stored(work).catch(() => undefined);
      if (older) return older;
      if (!(error instanceof TimeoutError)) throw error;
    }
    return orUnavailable(
      () => within(patience.none - patience.some),
      `The repository ${work.repo} is being fetched, which takes a while the first time; ask again.`,
    );
  };

  return {
    find: (...args) => asReply(() => find(...args)),
    async close() {
      closing.abort();
      await Promise.allSettled(fetching.values());
    },
  };
}

/** @throws AppError `repository_unavailable` with `message` when `work` takes too long (`withTimeout`); it goes on. */
export async function orUnavailable<T>(work: () => Promise<T>, message: string): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error;
    throw new AppError("repository_unavailable", message);
  }
}

/** Errors about a repository as replies. */
export async function asReply<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof NotIsolated)
      throw new AppError("repository_unavailable", error.message, { cause: error });
    if (!(error instanceof RepositoryError)) throw error;
    throw new AppError(error.transient ? "repository_unavailable" : "repository_unreadable", error.message, {
      cause: error,
    });
  }
}

/** Changes whenever the session has delivered or pushed something. */
const stateOf = ({ pushedCommit, unpushedCommit, unpushedHost, prompts }: WorkRow) =>
  JSON.stringify([pushedCommit, unpushedCommit, unpushedHost, prompts.at(-1)]);
