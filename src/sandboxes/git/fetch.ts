import { FETCH } from "./fetch-script.ts";
import { FIRST_COMMIT } from "./first-commit.ts";
import { faultIn, RepositoryError, saysTooLarge } from "./git-errors.ts";
import { fetchFailure } from "./remote-branches.ts";
import type { FetchRequest } from "./request.ts";
import { EXIT } from "./script-parts.ts";
import { sessionRefs } from "./session-refs.ts";
import type { Found } from "./shallow.ts";
import { KEEP_BEGIN, REACH } from "./shallow-scripts.ts";
import { type StoreGit, succeeded } from "./store-git.ts";
import { bringUnpushed } from "./unpushed.ts";

/**
 * Fetches a session's branches, and its work from the database, if this machine does not have it.
 * @param options.history an option of git fetch that says where history ends; "": whole histories.
 * @param options.folder for temporary files. @throws RepositoryError
 */
export async function fetchBranches(
  options: { storeGit: StoreGit; request: FetchRequest; history: string; folder: string },
  signal: AbortSignal,
): Promise<Found> {
  const { storeGit, request, history, folder } = options;
  const { address, withSource } = storeGit;
  const { sessionId, targetBranch, startCommit, unpushed, pushes } = request;
  const fetch = async (branch: string, nothing = ""): Promise<Found> => {
    // A fork that begins with nothing begins as a new session does.
    const begin = startCommit === null || startCommit === FIRST_COMMIT ? "" : startCommit;
    const own = [branch, unpushed.commit ?? "", begin];
    const args = [address.url, sessionRefs(sessionId), targetBranch, ...own, history, nothing];
    let result = await withSource(FETCH, args, signal);
    if (saysTooLarge(result.error)) throw new RepositoryError(result.error);
    if (result.code === EXIT.workMissing) {
      await bringUnpushed(storeGit, request, folder, signal);
      result = await withSource(FETCH, args, signal);
      if (result.code === EXIT.workMissing) throw workMissing(storeGit, request);
    }
    if (result.code === EXIT.startMissing && faultIn(result.error, address) === "request")
      throw new RepositoryError(
        `The commit ${startCommit}, which this session was forked from, is no longer in ${address.display}: its branch was deleted. Fork from another prompt.`,
      );
    if (result.code === EXIT.fetchFailed || result.code === EXIT.unreadable) {
      const failure = fetchFailure(storeGit, request, result);
      // Somebody has deleted the session's branch: it continues from what is kept here.
      if (failure === "branch is gone" && branch !== "") return fetch("");
      if (failure === "nothing is there") return fetch("", failure);
      if (failure !== "branch is gone") throw failure;
    }
    const [start = "", base = "", ...more] = succeeded(result).trim().split(/ +/);
    const is = (mark: string) => more.includes(mark);
    return { start, base, lfs: is("lfs"), cut: is("cut"), apart: is("apart"), shared: is("shared") };
  };
  // A branch that the session has not made is somebody else's.
  return fetch(pushes.commit === null ? "" : request.branch);
}

const beginOf = ({ address }: StoreGit, { sessionId, began, startCommit }: FetchRequest) => [
  address.url,
  sessionRefs(sessionId),
  began ?? startCommit ?? "",
];

/** Fetches what is since the session's work began, after its branches. @returns whether those have something in common now. */
export async function reach(
  storeGit: StoreGit,
  request: FetchRequest,
  signal: AbortSignal,
): Promise<boolean> {
  const result = await storeGit.withSource(REACH, beginOf(storeGit, request), signal);
  if (result.code === EXIT.apart) return false;
  succeeded(result);
  return true;
}

/** Notes where the session's work began, because they cannot be seen to have anything in common. */
export async function keepBegin(
  storeGit: StoreGit,
  request: FetchRequest,
  signal: AbortSignal,
): Promise<void> {
  succeeded(await storeGit.withSource(KEEP_BEGIN, beginOf(storeGit, request), signal));
}

const workMissing = ({ address }: StoreGit, { unpushed }: FetchRequest) =>
  unpushed.host === null
    ? new RepositoryError(
        `The commit ${unpushed.commit} of this session is neither in ${address.display} nor in what the database has kept of it.`,
      )
    : new RepositoryError(
        `What this session could not push to ${address.display} is too large for the database (UNPUSHED_WORK_MAX_MB): it is only on the machine whose DATA_DIR has the host-id ${unpushed.host}. Start the service there. If that machine is lost, so is this work: fork the session at an earlier prompt, or begin a new one.`,
        undefined,
        "elsewhere",
      );
