import { join } from "node:path";
import type { Config } from "../../config/config.ts";
import type { KeyedMutex } from "../../shared/keyed-mutex.ts";
import { MIB } from "../../shared/units.ts";
import { FIRST_COMMIT, nothingYet } from "./first-commit.ts";
import { whileDiskLasts } from "./free-space.ts";
import type { Git } from "./git.ts";
import { faultIn, RepositoryError } from "./git-errors.ts";
import { retryOnLock } from "./git-retry.ts";
import { checkoutConfig } from "./git-settings.ts";
import { type ImportBundle, openImport } from "./import-work.ts";
import { openLfs } from "./lfs.ts";
import { openReader, type RepositoryReader } from "./reader.ts";
import { fetchFailure } from "./remote-branches.ts";
import type { RepoAddress } from "./repo-url.ts";
import type { CheckoutRequest, FetchRequest, WorkResult } from "./request.ts";
import { EXIT } from "./script-parts.ts";
import { BUNDLE, CHECK_OUT, FETCH, TIDY } from "./scripts.ts";
import { sessionRefs } from "./session-refs.ts";
import { openStoreGit, succeeded } from "./store-git.ts";
import { amongOthers, ifAlone } from "./store-lock.ts";
import { type Sync, synced } from "./sync.ts";
import { bringUnpushed } from "./unpushed.ts";

const TIDY_MS = 60_000;
/** The commit that the session's next checkout starts from, and that of the target branch. */
export interface Fetched {
  start: string;
  base: string;
  /** Whether files at `start` are given to Git LFS. */
  lfs?: boolean;
}

/** Our own bare copy of one source repository. No agent can reach it, so credentials may be used in it. */
export interface RepositoryStore {
  /** Fetches the session's branches. */
  fetch(request: FetchRequest, signal: AbortSignal): Promise<Fetched>;
  /**
   * Makes a checkout of what is being fetched in an empty folder, which belongs to `uid`.
   * @returns what the user must be told of it (see notices.ts).
   * @throws RepositoryError, also when nothing was fetched.
   */
  checkOut(
    request: CheckoutRequest,
    checkout: { fetched: Promise<Fetched>; folder: string; uid: number | undefined },
    signal: AbortSignal,
  ): Promise<string[]>;
  /**
   * Fetches the session's branches and writes them to a bundle at `file`, for a checkout on another machine.
   * @returns the commit that the checkout starts from, the bundle's refs of the target branch and of the work, and what the
   * user must be told of it (see notices.ts).
   */
  bundle(
    request: CheckoutRequest,
    file: string,
    signal: AbortSignal,
  ): Promise<{ start: string; base: string; head: string; notices: string[] }>;
  /** Whether git-lfs is installed here, so that checkouts have it, too. */
  hasLfs: boolean;
  /** See import-work.ts. */
  importBundle: ImportBundle;
  /** Reads what is in the store. */
  read: RepositoryReader;
  /** Takes the target branch into the session's work and pushes it, without a checkout. Idempotent. */
  sync(request: CheckoutRequest, sync: Omit<Sync, "author">, signal: AbortSignal): Promise<WorkResult>;
  /** Pushes what the session has to its branch, without a checkout. Idempotent. */
  push(request: CheckoutRequest, signal: AbortSignal): Promise<WorkResult>;
}

/** @param options.mutex one operation at a time on each store, among those of this process. */
export function openRepositoryStore(options: {
  git: Git;
  config: Pick<Config, "dataDir" | "path" | "gitAuthor" | "branchPrefix" | "repoLimits" | "runLimits">;
  address: RepoAddress;
  uidFor: (address: RepoAddress) => Promise<number | undefined>;
  mutex: KeyedMutex;
}): RepositoryStore {
  const { git, config, address, uidFor, mutex } = options;
  const { dataDir, path, gitAuthor: author, branchPrefix, repoLimits, runLimits } = config;
  const storeGit = openStoreGit({ git, dataDir, path, address, uidFor });
  const { store, inStore, withSource } = storeGit;
  const local = address.kind === "local";
  const sizes = [`${repoLimits.maxFiles}`, `${repoLimits.maxBytes}`];
  const tooLarge = () =>
    new RepositoryError(
      `The repository ${address.display} is too large: a checkout may have ${repoLimits.maxFiles} files and folders, and ${repoLimits.maxBytes / MIB} MB (REPO_MAX_FILES, REPO_MAX_MB).`,
    );

  const workMissing = ({ unpushed }: FetchRequest) =>
    unpushed.host === null
      ? new RepositoryError(
          `The commit ${unpushed.commit} of this session is neither in ${address.display} nor in what the database has kept of it.`,
        )
      : new RepositoryError(
          `What this session could not push to ${address.display} is too large for the database (UNPUSHED_WORK_MAX_MB): it is only on the machine whose DATA_DIR has the host-id ${unpushed.host}. Start the service there. If that machine is lost, so is this work: fork the session at an earlier prompt, or begin a new one.`,
          undefined,
          "elsewhere",
        );

  const lfs = openLfs({ storeGit, path, maxBytes: repoLimits.maxBytes });

  /** What a checkout gets of Git LFS. */
  const lfsOf = async (found: Fetched, signal: AbortSignal) => {
    if (!found.lfs) return { oids: [], notices: [] };
    if (!lfs.installed)
      return { oids: [], notices: await lfs.pointersOf(found.start, "not installed", signal) };
    return await diskLasts(signal, (inTime) => lfs.bring(found.start, inTime));
  };

  /** The only work of this process on the store. Nothing that it leaves when it fails stays there. */
  const inTurn = <T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> => {
    const tidied = async () => {
      await storeGit.ready();
      return amongOthers(store, signal, work).catch(async (error: unknown) => {
        await ifAlone(store, () => inStore(TIDY, [], AbortSignal.timeout(TIDY_MS))).catch(() => undefined);
        throw error;
      });
    };
    return mutex(store, tidied, signal);
  };

  /** What is written to the store belongs to no sandbox's quota. */
  const diskLasts = <T>(signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> =>
    whileDiskLasts({ folder: dataDir, leave: runLimits.minFreeBytes / 2, signal }, work);

  const usesCredential = async (request: FetchRequest) => {
    const host = address.hosted?.host;
    if (host?.credential) await request.useSecret?.(host.setting, new URL(host.url).host);
  };

  const update = async (request: FetchRequest, signal: AbortSignal) => {
    await usesCredential(request);
    const fetch = async (branch: string, signal: AbortSignal, nothing = ""): Promise<Fetched> => {
      const unpushed = request.unpushed.commit ?? "";
      const { sessionId, targetBranch, startCommit } = request;
      // A fork that begins with nothing begins as a new session does.
      const begin = startCommit === null || startCommit === FIRST_COMMIT ? "" : startCommit;
      const args = [address.url, sessionRefs(sessionId), targetBranch, branch, unpushed, begin, nothing];
      let result = await withSource(FETCH, args, signal);
      if (result.code === EXIT.workMissing) {
        await bringUnpushed(storeGit, request, join(dataDir, "git"), signal);
        result = await withSource(FETCH, args, signal);
        if (result.code === EXIT.workMissing) throw workMissing(request);
      }
      if (/file too large/i.test(result.error)) throw tooLarge();
      if (result.code === EXIT.startMissing && faultIn(result.error, address) === "request")
        throw new RepositoryError(
          `The commit ${startCommit}, which this session was forked from, is no longer in ${address.display}: its branch was deleted. Fork from another prompt.`,
        );
      if (result.code === EXIT.fetchFailed || result.code === EXIT.unreadable) {
        const failure = fetchFailure(storeGit, request, result);
        // Somebody has deleted the session's branch: it continues from what is kept here.
        if (failure === "branch is gone" && branch !== "") return fetch("", signal);
        if (failure === "nothing is there") return fetch("", signal, failure);
        if (failure !== "branch is gone") throw failure;
      }
      const [start = "", base = "", mark] = succeeded(result).trim().split(" ");
      return { start, base, lfs: mark === "lfs" };
    };
    // A branch that the session has not made is somebody else's.
    const branch = request.pushes.commit === null ? "" : request.branch;
    const work = (inTime: AbortSignal) => retryOnLock(() => fetch(branch, inTime), { store, signal: inTime });
    return inTurn(() => diskLasts(signal, work), signal);
  };

  const importBundle = openImport({
    ...{ storeGit, lfs, author, branchPrefix, sizes, folder: join(dataDir, "git") },
    ...{ inTurn, diskLasts, usesCredential, tooLarge },
  });

  return {
    hasLfs: lfs.installed,
    fetch: update,
    read: openReader(storeGit),

    async checkOut(request, { fetched, folder, uid }, signal) {
      // It is mounted, and the first fetch may not have begun.
      await storeGit.ready();
      const config = checkoutConfig({ origin: address.display, author, lfs: lfs.installed });
      const args = [request.branch, request.targetBranch, ...sizes, config];
      const objects = fetched.then((found) => lfsOf(found, signal));
      const later = Promise.all([fetched, objects]).then(
        ([{ start, base }, { oids }]) => [`${start} ${base}`, ...oids, ""].join("\n"),
        () => "",
      );
      const stdin = { later };
      const how = { storeWritable: false, local, checkout: folder, uid, stdin, timeoutIsFinal: true };
      // It reads the store's objects only, so the lock is not needed.
      const result = await git({ script: CHECK_OUT, args, store, ...how }, signal);
      if (result.code === EXIT.tooLarge) throw tooLarge();
      // Why there was nothing to check out, if there was not.
      const { notices } = await objects;
      succeeded(result);
      return [...nothingYet((await fetched).start, address, request), ...notices];
    },

    async bundle(request, file, signal) {
      const refs = sessionRefs(request.sessionId);
      const found = await update(request, signal);
      const { start } = found;
      const [base, head] = [`${refs}/base`, `${refs}/head`];
      const args = [start, ...sizes, base, head];
      const uid = await uidFor(address);
      const how = { storeWritable: true, local, stdout: file, uid, timeoutIsFinal: true };
      const result = await git({ script: BUNDLE, args, store, ...how }, signal);
      if (result.code === EXIT.tooLarge) throw tooLarge();
      succeeded(result);
      const pointers = found.lfs ? await lfs.pointersOf(start, "borrowed", signal) : [];
      return { start, base, head, notices: [...nothingYet(start, address, request), ...pointers] };
    },

    importBundle,

    async sync(request, sync, signal) {
      const { start: head, base: target } = await update(request, signal);
      const merge = (inTime: AbortSignal) => synced(storeGit, { head, target }, { ...sync, author }, inTime);
      const start = await inTurn(() => diskLasts(signal, merge), signal);
      const replaces = sync.strategy === "rebase" && start !== head ? { replaces: head } : {};
      return {
        ...(await importBundle(request, { bundle: undefined, start, ...replaces }, signal)),
        start: head,
      };
    },

    async push(request, signal) {
      const { start } = await update(request, signal);
      return importBundle(request, { bundle: undefined, start }, signal);
    },
  };
}
