import type { KeyedMutex } from "../../shared/keyed-mutex.ts";
import type { Git } from "./git.ts";
import { RepositoryError } from "./git-errors.ts";
import { retryOnLock } from "./git-retry.ts";
import { BUNDLED } from "./packing.ts";
import { pushBranch } from "./push.ts";
import { remoteBranches } from "./remote-branches.ts";
import type { RepoAddress } from "./repo-url.ts";
import type { CheckoutRequest, WorkResult } from "./request.ts";
import { latestCommit, sessionRefs, setHead } from "./session-refs.ts";
import { openStoreGit } from "./store-git.ts";

/** Our own bare copy of one source repository. No agent can reach it, so credentials may be used in it. */
export interface RepositoryStore {
  /** Fetches the session's branches and makes a checkout at `folder`. @returns the commit it starts from. */
  checkOut(request: CheckoutRequest, folder: string, signal: AbortSignal): Promise<string>;
  /**
   * Fetches the session's branches and writes them to a bundle at `file`, for a checkout on another machine.
   * @returns the commit that the checkout starts from, and the bundle's refs of the target branch and of the work.
   */
  bundle(
    request: CheckoutRequest,
    file: string,
    signal: AbortSignal,
  ): Promise<{ start: string; base: string; head: string }>;
  /**
   * Fetches the work from a bundle and pushes it to the session's branch (see push.ts).
   * @param work.bundle undefined: nothing has changed since `start`, the commit that the checkout started from.
   */
  importBundle(
    request: CheckoutRequest,
    work: { bundle: string | undefined; start: string },
    signal: AbortSignal,
  ): Promise<WorkResult>;
}

/**
 * @param options.mutex one operation at a time on each store, among those of this process.
 * @param options.author the author of the agent's own commits, unless the agent sets another.
 */
export function openRepositoryStore(options: {
  git: Git;
  dataDir: string;
  address: RepoAddress;
  hasToken: boolean;
  author: { name: string; email: string };
  mutex: KeyedMutex;
}): RepositoryStore {
  const { git, dataDir, address, hasToken, author, mutex } = options;
  const storeGit = openStoreGit({ git, dataDir, address, hasToken });
  const { store, inStore, ensure, commitOf } = storeGit;

  /** Brings the session's refs up to date. @returns the commit that its work starts from. */
  const update = (request: CheckoutRequest, signal: AbortSignal) => {
    const { base, origin } = sessionRefs(request.sessionId);
    const work = async () => {
      await ensure(signal);
      const heads = await remoteBranches(storeGit, request, signal);
      const pushed = heads.get(request.branch);
      const wanted = [`+refs/heads/${request.targetBranch}:${base}`];
      if (pushed !== undefined) wanted.push(`+refs/heads/${request.branch}:${origin}`);
      const fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", address.url, ...wanted];
      await retryOnLock(() => inStore(fetch, signal, { remote: true }), { store, signal });
      const fetched = pushed && (await commitOf(origin, signal));
      const start = await latestCommit(storeGit, request, fetched, signal);
      await retryOnLock(() => setHead(storeGit, request.sessionId, start, signal), { store, signal });
      return start;
    };
    return mutex(store, work, signal);
  };

  return {
    async checkOut(request, folder, signal) {
      const { base, head } = sessionRefs(request.sessionId);
      const start = await update(request, signal);
      // A repository of its own, with copies of the objects: what an agent does to it cannot reach the store. It reads
      // only the session's own refs, so the lock is not needed.
      await git(["init", "--quiet", "--template=", `--initial-branch=${request.branch}`, "--", folder], {
        signal,
      });
      const inCheckout = (...args: string[]) => git(args, { cwd: folder, signal });
      const branches = [
        `${head}:refs/heads/${request.branch}`,
        `${base}:refs/remotes/origin/${request.targetBranch}`,
      ];
      await inCheckout("fetch", "--quiet", "--no-tags", "--update-head-ok", "--", store, ...branches);
      await inCheckout("remote", "add", "origin", address.display);
      await inCheckout("config", "user.name", author.name);
      await inCheckout("config", "user.email", author.email);
      await inCheckout("checkout", "--quiet", "--force", request.branch, "--");
      return start;
    },

    async bundle(request, file, signal) {
      const { base, head } = sessionRefs(request.sessionId);
      const start = await update(request, signal);
      await inStore(["bundle", "create", "--quiet", file, base, head], signal);
      return { start, base, head };
    },

    importBundle(request, { bundle, start }, signal) {
      const work = async () => {
        const { base, head } = sessionRefs(request.sessionId);
        const tip = bundle === undefined ? start : await unpack(bundle, request.sessionId, signal);
        await retryOnLock(() => setHead(storeGit, request.sessionId, tip, signal), { store, signal });
        const commits = Number(await inStore(["rev-list", "--count", `${base}..${head}`], signal));
        const short = (await inStore(["rev-parse", "--short", head], signal)).trim();
        const push =
          commits === 0
            ? ({ pushed: false, reason: "nothing changed" } as const)
            : await pushBranch(storeGit, request, head, signal);
        return { commits, head: short, push };
      };
      return mutex(store, work, signal);
    },
  };

  /** Fetches the bundle's one branch. @returns its commit. @throws RepositoryError when the bundle is incomplete. */
  async function unpack(bundle: string, sessionId: string, signal: AbortSignal): Promise<string> {
    const { incoming } = sessionRefs(sessionId);
    const fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", bundle];
    try {
      await retryOnLock(() => inStore([...fetch, `+${BUNDLED}:${incoming}`], signal), { store, signal });
      return (await inStore(["rev-parse", "--verify", `${incoming}^{commit}`], signal)).trim();
    } catch (error) {
      if (!(error instanceof RepositoryError)) throw error;
      const message = `The agent's commits could not be imported: ${error.message}.`;
      throw new RepositoryError(message, { cause: error }, error.transient);
    }
  }
}
