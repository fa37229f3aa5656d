import { join } from "node:path";
import { messageOf } from "../../shared/errors.ts";
import { pushFirst, TAKEN } from "./first-push.ts";
import { faultIn, missingCredential, pushFailure, RepositoryError } from "./git-errors.ts";
import { retryOnLock } from "./git-retry.ts";
import { inspected } from "./inspect.ts";
import { gitFolderOf } from "./local-path.ts";
import { defaultBranchesIn, headsIn } from "./remote-branches.ts";
import { checkSessionBranch } from "./repo-url.ts";
import type { CheckoutRequest, PushResult, Refusal } from "./request.ts";
import { EXIT } from "./script-parts.ts";
import { LOOK, PUSH } from "./scripts.ts";
import { sessionRefs } from "./session-refs.ts";
import { type StoreGit, succeeded } from "./store-git.ts";

/** The first pause between two tries of a push: hosts are down for longer than a lock file is held. */
const FIRST_PAUSE_MS = 250;
const NOT_THERE = "It was not on the branch when that was looked at again.";

/**
 * Pushes the session's work to its branch, if the service has credentials for the repository. It pushes only to a branch
 * that this session made: whatever else is at that name stays as it is. The commit is recorded before the push, so that
 * after a crash the branch's state tells whether the push was made; what became of it is recorded, too.
 * @param options.tip the work's commit, in the store.
 * @param options.before brings what the branch needs, before each try.
 * @param options.replaces the commit that it is made of anew: the branch may lose it, if it is where the session left it.
 * @returns where the branch is now, or why it was not pushed.
 */
export async function pushBranch(options: {
  storeGit: StoreGit;
  request: CheckoutRequest;
  tip: string;
  branchPrefix: string;
  replaces?: string | undefined;
  before: () => Promise<void>;
  signal: AbortSignal;
}): Promise<PushResult> {
  const { storeGit, request, tip, branchPrefix, replaces, before, signal } = options;
  const { address, store, withSource } = storeGit;
  const { display, kind, hosted } = address;
  const { branch, targetBranch, sessionId, pushes } = request;
  const refuse = (reason: string, secrets?: Refusal["secrets"]): PushResult => ({
    ...{ pushed: false, reason },
    ...(secrets && { secrets }),
  });
  if (kind === "remote" && !hosted?.host.credential)
    return refuse(`set ${missingCredential(address)} to have it pushed to ${display}.`);
  try {
    checkSessionBranch(branch, branchPrefix, targetBranch);
  } catch (error) {
    return refuse(`${messageOf(error)}.`);
  }

  const forbidden = await inspected(storeGit, request, tip, signal);
  if (forbidden !== undefined)
    return refuse(
      `${forbidden.reason}, so that nothing of it was pushed. Have the agent make its commits anew without them.`,
      forbidden.secrets,
    );

  const { url } = address;
  let began = false;
  const failed = (error: string) => new RepositoryError(error, undefined, faultIn(error, address));
  const attempt = async (): Promise<PushResult> => {
    const look = await withSource(
      LOOK,
      [url, sessionRefs(sessionId), branch, tip, pushes.commit ?? "", targetBranch],
      signal,
    );
    if (look.code === EXIT.unreadable) throw failed(look.error);
    const listing = succeeded(look);
    if (defaultBranchesIn(listing).some((one) => one.toLowerCase() === branch.toLowerCase()))
      return refuse(`${branch} is the default branch of ${display}, which sessions do not push to.`);
    const found = headsIn(listing).get(branch);
    // An earlier one whose answer was lost.
    if (pushes.commit !== null)
      await pushes.settle(pushes.commit, isThere(found, pushes.commit, listing) ? undefined : NOT_THERE);
    if (found === tip && pushes.commit === tip) return { pushed: true, to: display };
    if (found !== undefined && !isOwn(found, pushes.commit, listing))
      return refuse(`${display} has a branch ${branch} that this session did not make.`);
    if (found !== undefined && listing.includes("\nrelation\tnewer") && found !== tip)
      return { pushed: true, to: display };
    const isReplaced = found !== undefined && found === replaces && found === pushes.commit;
    if (found !== undefined && !isReplaced && !listing.includes("\nrelation\tolder"))
      return { pushed: false, reason: pushFailure(address, "[rejected]"), theirs: found };
    if (found === undefined) {
      const first = await pushFirst({ storeGit, request, listing, failed, signal });
      if ("refused" in first) return refuse(first.refused);
      began ||= first.made;
    }
    await before();
    await pushes.record(tip, `${display}#${branch}`, isReplaced ? found : undefined);
    const push = await withSource(PUSH, [url, tip, branch, found ?? ""], signal, { push: true });
    if (push.code === 0) {
      await pushes.settle(tip);
      return { pushed: true, to: display, ...(began && { began: true }) };
    }
    if (TAKEN.test(push.error)) {
      const reason = `${display} has a branch ${branch} that this session did not make.`;
      // Somebody else made a branch of that name at this very moment.
      if (found === undefined) await pushes.disown(reason);
      else await pushes.settle(tip, reason);
      return refuse(reason);
    }
    const error = failed(push.error);
    // Of a host that is away it is not known how far the push came.
    if (error.fault !== "git_host") await pushes.settle(tip, pushFailure(address, push.error));
    throw error;
  };
  try {
    return await retryOnLock(attempt, {
      store,
      // A push that was killed has left it. The branch is this session's alone.
      own: kind === "local" ? join(gitFolderOf(url, display), "refs/heads", `${branch}.lock`) : undefined,
      signal,
      when: (error) => error.transient,
      firstMs: FIRST_PAUSE_MS,
    });
  } catch (error) {
    if (!(error instanceof RepositoryError)) throw error;
    // The gateway's sentence says it already.
    const said = /could not be reached/.test(error.message);
    const reason = said ? error.message : pushFailure(address, error.message);
    return { pushed: false, reason, ...(error.fault === "git_host" && { hostIsAway: true }) };
  }
}

/**
 * Whether the branch is the session's: it is where the session has put it, or was about to; or it has moved from there, by
 * commits that somebody added or a push whose record was overtaken. A branch at a commit of the target branch has no work
 * of the session in it.
 */
function isOwn(found: string, pushed: string | null, listing: string): boolean {
  if (pushed === null) return false;
  if (isThere(found, pushed, listing)) return true;
  return /\nrelation\t(older|newer)/.test(listing) && !listing.includes("\nrelation\tmerged");
}

/** Whether the branch has the commit that was pushed. */
const isThere = (found: string | undefined, pushed: string, listing: string): boolean =>
  found === pushed || listing.includes("\nrelation\tgrown");
