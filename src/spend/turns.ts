/** Who waits for an API that takes no more calls now: users in turn, and a user's calls in the order in which they came. */
export interface Turns {
  /**
   * Calls `attempt` when it is the user's turn, again and again until it says that it needs no other.
   * @param attempt milliseconds: not yet; look again then, or when something has changed. Undefined: it is done.
   * @throws what `attempt` threw, or `signal` aborted with.
   */
  take(user: string, attempt: () => Promise<number | undefined>, signal: AbortSignal): Promise<void>;
  /** How many wait. */
  waiting(): number;
}

/** @param pause that time, or until something has changed. */
export function createTurns(pause: (ms: number) => Promise<void>): Turns {
  // In the order of turns: who had one goes to the end.
  const users = new Map<string, (() => Promise<number | undefined>)[]>();
  let running = false;

  const remove = (user: string, one: () => Promise<number | undefined>) => {
    const left = (users.get(user) ?? []).filter((other) => other !== one);
    users.delete(user);
    if (left.length > 0) users.set(user, left);
  };
  const run = async () => {
    running = true;
    for (let first = users.entries().next(); !first.done; first = users.entries().next()) {
      const [user, [attempt]] = first.value;
      const waitMs = attempt && (await attempt());
      if (waitMs !== undefined) await pause(waitMs);
      else if (attempt) remove(user, attempt);
    }
    running = false;
  };

  return {
    async take(user, attempt, signal) {
      const done = Promise.withResolvers<void>();
      const one = async () => {
        try {
          signal.throwIfAborted();
          const waitMs = await attempt();
          if (waitMs !== undefined) return waitMs;
          done.resolve();
        } catch (error) {
          done.reject(error);
        }
        return undefined;
      };
      const onAbort = () => {
        remove(user, one);
        done.reject(signal.reason);
      };
      users.set(user, [...(users.get(user) ?? []), one]);
      signal.addEventListener("abort", onAbort, { once: true });
      if (!running) void run();
      try {
        await done.promise;
      } finally {
        signal.removeEventListener("abort", onAbort);
      }
    },
    waiting: () => [...users.values()].reduce((sum, { length }) => sum + length, 0),
  };
}
