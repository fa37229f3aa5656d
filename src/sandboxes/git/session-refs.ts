/**
 * Where a store keeps the refs of one session:
 *
 *   base      the target branch, as it was last fetched
 *   origin    the session's branch in the source repository, as it was last fetched
 *   head      the session's work
 *   aside/<commit>   work that the branch's newer tip does not contain: nothing that an agent made is thrown away
 */
export const sessionRefs = (sessionId: string) => `refs/sessions/${sessionId}`;
