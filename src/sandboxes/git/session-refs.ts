/**
 * Where a store keeps the refs of one session:
 *
 *   base      the target branch, as it was last fetched
 *   origin    the session's branch in the source repository, as it was last fetched
 *   head      the session's work
 *   modules/<commit>   in the stores of submodules, instead of all others: what the session's checkouts have
 *   aside/<commit>   work that the branch's newer tip does not contain: nothing that an agent made is thrown away
 */
export const sessionRefs = (sessionId: string) => `refs/sessions/${sessionId}`;
