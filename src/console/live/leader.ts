/**
 * Runs `work` in one tab at a time. Browsers allow six connections to a host of HTTP/1.1: with a stream for each, the seventh
 * tab would load nothing. Where the page's origin is not secure, or may store nothing, there are no locks, and each tab works
 * for itself.
 * @param name the tabs of one name share.
 * @param work ends when its signal is aborted, or earlier; when its tab is closed, another one takes over.
 */
export async function asLeader(
  name: string,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const locks = (navigator as { locks?: LockManager }).locks;
  if (!locks) return work(signal);
  let refused = true;
  const lead = () => {
    refused = false;
    return work(signal);
  };
  await locks.request(name, { signal }, lead).catch((error: unknown) => {
    if (signal.aborted) return;
    if (!refused) throw error;
    return work(signal);
  });
}
