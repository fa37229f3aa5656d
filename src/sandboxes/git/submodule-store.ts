import type { Config } from "../../config/config.ts";
import { AppError } from "../../shared/errors.ts";
import type { KeyedMutex } from "../../shared/keyed-mutex.ts";
import type { Git } from "./git.ts";
import { faultIn, RepositoryError, readFailure, saysTooLarge } from "./git-errors.ts";
import { checkoutConfig } from "./git-settings.ts";
import { checkBranchName, type RepoAddress, type RepoRules } from "./repo-url.ts";
import type { FetchRequest } from "./request.ts";
import { EXIT } from "./script-parts.ts";
import { sessionRefs } from "./session-refs.ts";
import { openStoreGit, type StoreGit, succeeded } from "./store-git.ts";
import { tellSecretUse, turnsOn, writesTo } from "./store-turns.ts";
import { listingIn, type Submodule, type SubmoduleListing } from "./submodule-listing.ts";
import { CHECK_OUT_MODULE, EMPTY_MODULE, FETCH_MODULE, LIST_MODULES } from "./submodule-scripts.ts";
import { submodulePlace } from "./submodule-url.ts";

/** What git on submodules needs of this machine. */
export interface SubmoduleDeps {
  git: Git;
  config: Pick<Config, "dataDir" | "path" | "gitAuthor" | "repoLimits" | "runLimits">;
  rules: RepoRules;
  uidFor: (address: RepoAddress) => Promise<number | undefined>;
  mutex: KeyedMutex;
}

/** How much a checkout may still have. */
export interface Room {
  files: number;
  bytes: number;
}

/**
 * Our copy of a repository that is somebody's submodule. It is another one than that for sessions on the repository: it holds
 * nothing but what its source gave, and no session's work.
 */
export interface SubmoduleStore {
  /** Fetches a commit, unless the session has done so before. @throws RepositoryError */
  fetch(
    request: FetchRequest,
    module: Pick<Submodule, "commit" | "branch">,
    room: Room,
    signal: AbortSignal,
  ): Promise<SubmoduleListing>;
  /** Makes a repository of its own of a commit that was fetched, in an empty folder of the sandbox of `uid`. @throws RepositoryError */
  checkOut(commit: string, folder: string, uid: number | undefined, signal: AbortSignal): Promise<void>;
}

/** The source of a submodule does not have its commit. */
export class CommitMissing extends RepositoryError {}

/** The submodules of a commit in any store, and its size. @throws RepositoryError where that is beyond the limits. */
export async function listSubmodules(
  { inStore }: StoreGit,
  { commit, limits }: { commit: string; limits: Config["repoLimits"] },
  signal: AbortSignal,
): Promise<SubmoduleListing> {
  const args = [commit, `${limits.maxFiles}`, `${limits.maxBytes}`];
  return listingIn(succeeded(await inStore(LIST_MODULES, args, signal, { readOnly: true })));
}

/**
 * @param url as in .gitmodules. @param parent the repository that has the submodule.
 * @throws RepositoryError: the service does not go there.
 */
export function submoduleAt(
  deps: SubmoduleDeps,
  url: string,
  parent: RepoAddress,
): { address: RepoAddress; store: SubmoduleStore } {
  const place = submodulePlace(url, parent, deps.rules);
  if ("refusal" in place) throw new RepositoryError(place.refusal);
  return { address: place.address, store: openSubmoduleStore(deps, place.address) };
}

function openSubmoduleStore(deps: SubmoduleDeps, address: RepoAddress): SubmoduleStore {
  const { git, config, uidFor, mutex } = deps;
  const { dataDir, path, gitAuthor: author } = config;
  const storeGit = openStoreGit({ git, dataDir, path, address, uidFor, holds: "submodules" });
  const { store, withSource } = storeGit;
  const inTurn = turnsOn(storeGit, mutex);
  const { onceUnlocked } = writesTo(storeGit, config);
  const local = address.kind === "local";

  return {
    async fetch(request, { commit, branch = "" }, room, signal) {
      const args = [address.url, commit, sessionRefs(request.sessionId), isBranch(branch) ? branch : ""];
      const fetched = async (inTime: AbortSignal) => {
        await tellSecretUse(address, request);
        const result = await withSource(FETCH_MODULE, [...args, `${room.files}`, `${room.bytes}`], inTime);
        const { code, error } = result;
        if (code === EXIT.missing)
          throw new CommitMissing(`its commit ${commit.slice(0, 12)} is not in ${address.display}`);
        if (code === EXIT.tooLarge || saysTooLarge(error)) throw new RepositoryError(TOO_LARGE);
        if (code === EXIT.unreadable)
          throw new RepositoryError(readFailure(address, error), undefined, faultIn(error, address));
        return listingIn(succeeded(result));
      };
      return inTurn(() => onceUnlocked(signal, fetched), signal);
    },

    async checkOut(commit, folder, uid, signal) {
      const how = { store, storeWritable: false, local, checkout: folder, uid, timeoutIsFinal: true };
      const args = [commit, checkoutConfig({ origin: address.display, author, lfs: false })];
      try {
        succeeded(await git({ script: CHECK_OUT_MODULE, args, ...how }, signal));
      } catch (error) {
        if (!signal.aborted) await git({ script: EMPTY_MODULE, args: [], ...how }, signal);
        throw error;
      }
    },
  };
}

const TOO_LARGE = "the checkout would be too large with it (REPO_MAX_FILES, REPO_MAX_MB)";

function isBranch(name: string): boolean {
  try {
    checkBranchName(name);
    // To git it means the branch of the repository that has the submodule.
    return name !== ".";
  } catch (error) {
    if (error instanceof AppError) return false;
    throw error;
  }
}
