import type { CheckoutRequest } from "./request.ts";
import type { StoreGit } from "./store-git.ts";

/** The refs that a store keeps for one session. */
export const sessionRefs = (sessionId: string) => ({
  /** The target branch, as it was last fetched. */
  base: `refs/sessions/${sessionId}/base`,
  /** The session's branch in the source repository, as it was last fetched. */
  origin: `refs/sessions/${sessionId}/origin`,
  /** The session's work. */
  head: `refs/sessions/${sessionId}/head`,
  /** What was last fetched from a bundle. */
  incoming: `refs/sessions/${sessionId}/incoming`,
  /** Work that the branch's newer tip does not contain: nothing that an agent made is thrown away. */
  aside: (commit: string) => `refs/sessions/${sessionId}/aside/${commit}`,
});

/** Moves the session's head. If the new commit does not contain the old one, the old one stays reachable. */
export async function setHead(
  { inStore, commitOf, isAncestor }: StoreGit,
  sessionId: string,
  commit: string,
  signal: AbortSignal,
): Promise<void> {
  const { head, aside } = sessionRefs(sessionId);
  const before = await commitOf(head, signal);
  if (before === commit) return;
  if (before && !(await isAncestor(before, commit, signal)))
    await inStore(["update-ref", aside(before), before], signal);
  await inStore(["update-ref", head, commit], signal);
}

/**
 * The commit that the session's next checkout starts from: what it pushed, or what it could not push, or, if it has no
 * work of its own yet, today's target branch.
 * @param pushed the tip of the session's branch in the source repository; undefined if there is no such branch.
 */
export async function latestCommit(
  { commitOf, isAncestor }: StoreGit,
  request: CheckoutRequest,
  pushed: string | undefined,
  signal: AbortSignal,
): Promise<string> {
  const { base, head } = sessionRefs(request.sessionId);
  const kept = await commitOf(head, signal);
  const target = (await commitOf(base, signal)) ?? "";
  const other = pushed ?? target;
  if (kept === undefined || (await isAncestor(kept, other, signal))) return other;
  return pushed === undefined || (await isAncestor(pushed, kept, signal)) ? kept : pushed;
}
