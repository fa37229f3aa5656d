import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../../config/config.ts";
import type { KeyedMutex } from "../../shared/keyed-mutex.ts";
import { MIB } from "../../shared/units.ts";
import { BORROWS, CHECK_OUT } from "./check-out-script.ts";
import { fetchBranches, keepBegin, reach } from "./fetch.ts";
import { nothingYet } from "./first-commit.ts";
import type { Git } from "./git.ts";
import { RepositoryError } from "./git-errors.ts";
import { checkoutConfig } from "./git-settings.ts";
import { type ImportBundle, openImport } from "./import-work.ts";
import { openLfs } from "./lfs.ts";
import { openReader, type RepositoryReader } from "./reader.ts";
import type { RepoAddress, RepoRules } from "./repo-url.ts";
import type { CheckoutRequest, FetchRequest, WorkResult } from "./request.ts";
import { EXIT } from "./script-parts.ts";
import { BUNDLE } from "./scripts.ts";
import { sessionRefs } from "./session-refs.ts";
import { cutNotice, type Found, fetchWhatFits, isTooLarge } from "./shallow.ts";
import { PRINT_BOUNDARY } from "./shallow-scripts.ts";
import { sharedObjectsOf } from "./shared-objects.ts";
import { openStoreGit, succeeded } from "./store-git.ts";
import { alone, amongOthers } from "./store-lock.ts";
import { tellSecretUse, turnsOn, writesTo } from "./store-turns.ts";
import { listSubmodules } from "./submodule-store.ts";
import { checkOutSubmodules, submodulesNamed } from "./submodules.ts";
import { type Sync, synced } from "./sync.ts";

/** The commit that the session's next checkout starts from, and that of the target branch; and what else a checkout must know. */
export type Fetched = Pick<Found, "start" | "base"> & Partial<Pick<Found, "cut" | "lfs" | "shared">>;

/** Our own bare copy of one source repository. No agent can reach it, so credentials may be used in it. */
export interface RepositoryStore {
  /** Fetches the session's branches. */
  fetch(request: FetchRequest, signal: AbortSignal): Promise<Fetched>;
  /** The folder of objects that most checkouts borrow now; undefined: none yet. */
  lends(): string | undefined;
  /**
   * Makes a checkout of what is being fetched in an empty folder, which belongs to `uid`.
   * @returns what the user must be told of it (see notices.ts), and the folder of objects that it borrows, if it does.
   * @throws RepositoryError, also when nothing was fetched.
   */
  checkOut(
    request: CheckoutRequest,
    checkout: { fetched: Promise<Fetched>; folder: string; uid: number | undefined },
    signal: AbortSignal,
  ): Promise<{ notices: string[]; borrowed: string | undefined }>;
  /**
   * Fetches the session's branches and writes them to a bundle at `file`, for a checkout on another machine.
   * @returns the commit that the checkout starts from, the bundle's refs of the target branch and of the work, the file `shallow`
   * that the checkout needs, and what the user must be told of it (see notices.ts).
   */
  bundle(
    request: CheckoutRequest,
    file: string,
    signal: AbortSignal,
  ): Promise<{ start: string; base: string; head: string; shallow: string; notices: string[] }>;
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
  rules: RepoRules;
  uidFor: (address: RepoAddress) => Promise<number | undefined>;
  mutex: KeyedMutex;
}): RepositoryStore {
  const { git, config, address, rules, uidFor, mutex } = options;
  const deps = { git, config, rules, uidFor, mutex };
  const { dataDir, path, gitAuthor: author, branchPrefix, repoLimits } = config;
  const storeGit = openStoreGit({ git, dataDir, path, address, uidFor });
  const { store, inStore } = storeGit;
  const local = address.kind === "local";
  const sizes = [`${repoLimits.maxFiles}`, `${repoLimits.maxBytes}`];
  const tooLarge = () =>
    new RepositoryError(
      `The repository ${address.display} is too large: a checkout may have ${repoLimits.maxFiles} files and folders, and ${repoLimits.maxBytes / MIB} MB (REPO_MAX_FILES, REPO_MAX_MB).`,
    );

  const lfs = openLfs({ storeGit, path, maxBytes: repoLimits.maxBytes });
  const inTurn = turnsOn(storeGit, mutex);
  const { diskLasts, onceUnlocked } = writesTo(storeGit, config);

  /** What a checkout gets of Git LFS. */
  const lfsOf = async (found: Fetched, signal: AbortSignal) => {
    const none = { oids: [], attributes: [] };
    if (!found.lfs) return { ...none, notices: [] };
    if (!lfs.installed)
      return { ...none, notices: await lfs.pointersOf(found.start, "not installed", signal) };
    return await diskLasts(signal, (inTime) => lfs.bring(found.start, inTime));
  };

  const noticesOf = ({ start, cut }: Fetched, request: FetchRequest) => [
    ...nothingYet(start, address, request),
    // Once a session.
    ...(cut && request.began === null ? [cutNotice(address.display)] : []),
  ];

  const update = async (request: FetchRequest, signal: AbortSignal) => {
    await tellSecretUse(address, request);
    // What a fetch may change of other sessions' histories, nobody must see before it is put right.
    const run = <T>(isAlone: boolean, work: (inTime: AbortSignal) => Promise<T>): Promise<T> =>
      inTurn(() => onceUnlocked(signal, work), signal, isAlone ? alone : amongOthers);
    const folder = join(dataDir, "git");
    return fetchWhatFits({
      fetch: (history) =>
        run(history !== "", (inTime) => fetchBranches({ storeGit, request, history, folder }, inTime)),
      reach: () => run(true, (inTime) => reach(storeGit, request, inTime)),
      keepBegin: () => run(true, (inTime) => keepBegin(storeGit, request, inTime)),
    }).catch((error: unknown) => {
      throw isTooLarge(error) ? tooLarge() : error;
    });
  };

  const modulesOf = (commit: string, signal: AbortSignal) =>
    listSubmodules(storeGit, { commit, limits: repoLimits }, signal);

  const importBundle = openImport({
    ...{ storeGit, lfs, submodules: deps, author, branchPrefix, sizes, folder: join(dataDir, "git") },
    ...{ inTurn, diskLasts, onceUnlocked, tooLarge },
  });

  return {
    hasLfs: lfs.installed,
    fetch: update,
    lends: () => (existsSync(sharedObjectsOf(store)) ? sharedObjectsOf(store) : undefined),
    read: openReader(storeGit),

    async checkOut(request, { fetched, folder, uid }, signal) {
      // It is mounted, and the first fetch may not have begun.
      await storeGit.ready();
      const config = checkoutConfig({ origin: address.display, author, lfs: lfs.installed });
      const args = [request.branch, request.targetBranch, ...sizes, config];
      const objects = fetched.then((found) => lfsOf(found, signal));
      const later = Promise.all([fetched, objects]).then(
        ([{ start, base, shared }, { attributes, oids }]) =>
          [`${start} ${base} ${shared ? "shared" : ""}`, ...attributes, ...oids, ""].join("\n"),
        () => "",
      );
      const stdin = { later };
      const how = { storeWritable: false, local, checkout: folder, uid, stdin, timeoutIsFinal: true };
      // It reads the store's objects only, so the lock is not needed.
      const result = await git({ script: CHECK_OUT, args, store, ...how }, signal);
      if (result.code === EXIT.tooLarge) throw tooLarge();
      // Why there was nothing to check out, if there was not.
      const { notices } = await objects;
      const printed = succeeded(result);
      const hasSubmodules = /^160000 /m.test(printed);
      const borrowed = printed.split("\n").includes(BORROWS) ? sharedObjectsOf(store) : undefined;
      const found = await fetched;
      const all = [...noticesOf(found, request), ...notices];
      if (!hasSubmodules) return { notices: all, borrowed };
      const listing = await modulesOf(found.start, signal);
      const made = { request, address, listing, checkout: { folder, uid } };
      return { notices: [...all, ...(await checkOutSubmodules(deps, made, signal))], borrowed };
    },

    async bundle(request, file, signal) {
      const refs = sessionRefs(request.sessionId);
      const found = await update(request, signal);
      const { start } = found;
      const [base, head] = [`${refs}/base`, `${refs}/head`];
      // First: what is fetched meanwhile only adds to the bundle.
      const shallow = succeeded(await inStore(PRINT_BOUNDARY, [base, head], signal, { readOnly: true }));
      const args = [start, ...sizes, base, head];
      const uid = await uidFor(address);
      const how = { storeWritable: true, local, stdout: file, uid, timeoutIsFinal: true };
      const result = await git({ script: BUNDLE, args, store, ...how }, signal);
      if (result.code === EXIT.tooLarge) throw tooLarge();
      succeeded(result);
      const pointers = found.lfs ? await lfs.pointersOf(start, "borrowed", signal) : [];
      const missing = submodulesNamed(await modulesOf(start, signal));
      const notices = [...noticesOf(found, request), ...pointers, ...missing];
      return { start, base, head, shallow, notices };
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
