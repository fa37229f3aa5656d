import { RepositoryError } from "./git-errors.ts";
import { EXIT } from "./script-parts.ts";
import { type StoreGit, succeeded } from "./store-git.ts";
import { MERGE, REBASE } from "./sync-scripts.ts";

export const SYNC_STRATEGIES = ["merge", "rebase"] as const;
export type SyncStrategy = (typeof SYNC_STRATEGIES)[number];

const MAX_REBASED = 500;

/** How a session's work takes in its target branch. */
export interface Sync {
  strategy: SyncStrategy;
  /** Of the commit of a merge. */
  message: string;
  author: { name: string; email: string };
}

/**
 * Makes the commit in which a session's work has its target branch.
 * @returns the work itself, if it has that already. @throws RepositoryError where git cannot do it by itself.
 */
export async function synced(
  { inStore }: Pick<StoreGit, "inStore">,
  { head, target }: { head: string; target: string },
  { strategy, message, author }: Sync,
  signal: AbortSignal,
): Promise<string> {
  const script = strategy === "merge" ? MERGE : REBASE;
  const args = [head, target, author.name, author.email, `${MAX_REBASED}`];
  const result = await inStore(script, args, signal, { stdin: { text: message }, timeoutIsFinal: true });
  const refuse = (why: string): never => {
    throw new RepositoryError(why);
  };
  switch (result.code) {
    case EXIT.conflicts:
      return refuse(`git cannot ${strategy} it by itself: ${named(result.out.split("\n").filter(Boolean))}.`);
    case EXIT.hasMerges:
      return refuse("The branch has merges, which a rebase would lose; use the strategy merge.");
    case EXIT.tooMany:
      return refuse(`The branch has more than ${MAX_REBASED} commits to rebase; use the strategy merge.`);
    case EXIT.apart:
      return refuse(
        "What the work and the target branch have in common is so far back that this service cannot fetch it (REPO_MAX_MB); take the target branch in with a clone of your own.",
      );
    case EXIT.tooOld:
      return refuse("The git of this machine cannot merge without a checkout; it needs version 2.38.");
    default:
      return succeeded(result).trim();
  }
}

const NAMED = 10;
const named = (files: readonly string[]) =>
  `both sides changed ${files.slice(0, NAMED).join(", ")}${files.length > NAMED ? ` and ${files.length - NAMED} more` : ""}`;
