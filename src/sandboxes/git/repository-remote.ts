import { type CheckoutRequest, RepositoryError, type WorkResult } from "../sandbox.ts";
import { pushFailed, readingFailed } from "./git-errors.ts";
import { patiently } from "./git-retry.ts";
import type { RepoAddress } from "./repo-url.ts";

/** Hosts are away for longer than a lock file is held. */
const PUSH_WAIT_MS = 250;

/** The repository that work comes from and goes to, as its store sees it. */
export function openRemote(options: {
  /** git in the store; `remote`: with the credentials that the remote may see. */
  inStore: (args: readonly string[], signal: AbortSignal, remote?: boolean) => Promise<string>;
  store: string;
  address: RepoAddress;
  hasToken: boolean;
}) {
  const { inStore, store, address, hasToken } = options;
  const withToken = address.kind === "github";
  return {
    /** The commits of its branches, by name. @throws RepositoryError where it cannot be read or lacks the target. */
    async branches(request: CheckoutRequest, signal: AbortSignal): Promise<Map<string, string>> {
      const listing = await inStore(["ls-remote", "--heads", "--", address.url], signal, true).catch(
        (error: unknown) => {
          if (!(error instanceof RepositoryError)) throw error;
          const message = readingFailed(address, error.message, hasToken);
          throw new RepositoryError(message, { cause: error }, error.passing);
        },
      );
      const heads = new Map(
        listing
          .split("\n")
          .filter(Boolean)
          .map((line) => [
            line.slice(line.indexOf("\t") + 1).replace(/^refs\/heads\//, ""),
            line.slice(0, line.indexOf("\t")),
          ]),
      );
      if (heads.has(request.targetBranch)) return heads;
      if (heads.size === 0)
        throw new RepositoryError(
          `The repository ${address.display} is empty: push a first commit on ${request.targetBranch} to it.`,
        );
      const names = `${[...heads.keys()].slice(0, 10).join(", ")}${heads.size > 10 ? ", …" : ""}`;
      throw new RepositoryError(
        `The repository ${address.display} has no branch ${request.targetBranch}; it has ${names}.`,
      );
    },

    /** Pushes `head` to the session's branch, where that is allowed; else says why it did not. */
    async push(request: CheckoutRequest, head: string, signal: AbortSignal): Promise<WorkResult["push"]> {
      const kept = "The work is kept, and the next prompt continues from it.";
      if (withToken && !hasToken)
        return { pushed: false, reason: `set GITHUB_TOKEN to have it pushed to ${address.display}. ${kept}` };
      if (address.kind === "https")
        return {
          pushed: false,
          reason: `credentials are only sent to GITHUB_URL; set that and GITHUB_TOKEN for ${address.display}. ${kept}`,
        };
      const branch = `${head}:refs/heads/${request.branch}`;
      try {
        await patiently(
          () => inStore(["push", "--quiet", "--porcelain", "--", address.url, branch], signal, true),
          { store, passes: (error) => error.passing, firstMs: PUSH_WAIT_MS },
        );
        return { pushed: true, to: address.display };
      } catch (error) {
        if (!(error instanceof RepositoryError)) throw error;
        return { pushed: false, reason: `${pushFailed(address, error.message)} ${kept}` };
      }
    },
  };
}
