/**
 * Calls of this process that wait for an API that takes no more now. Of each user, the first one looks for a place, all users' at the
 * same time: whose turn it is decides the database, which knows those who wait on other nodes.
 */
export interface Turns {
  /**
   * Calls `attempt` when the user's earlier calls have had their turns, again and again until it says that it needs no other.
   * @param attempt milliseconds: not yet; look again then, or when something has changed. Undefined: it is done.
   * @throws what `attempt` threw, or `signal` aborted with.
   */
  take(user: string, attempt: () => Promise<number | undefined>, signal: AbortSignal): Promise<void>;
  /** How many wait; of a user, or of all. */
  waiting(user?: string): number;
}

/** @param pause that time, or until something has changed. */
export function createTurns(pause: (ms: number) => Promise<void>): Turns {
  const users = new Map<string, (() => Promise<number | undefined>)[]>();
  let running = false;

  const remove = (user: string, one: () => Promise<number | undefined>) => {
    const left = (users.get(user) ?? []).filter((other) => other !== one);
    if (left.length > 0) users.set(user, left);
    else users.delete(user);
  };
  const run = async () => {
    running = true;
    while (users.size > 0) {
      const waits = await Promise.all(
        [...users].map(async ([user, [first]]) => {
          const waitMs = await first?.();
          if (waitMs === undefined && first) remove(user, first);
          return waitMs;
        }),
      );
      // Behind a call that is done may be one of the same user for which there is a place, too.
      const all = waits.filter((ms) => ms !== undefined);
      if (all.length === waits.length) await pause(Math.min(...all));
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
    waiting(user) {
      const lines = user === undefined ? [...users.values()] : [users.get(user) ?? []];
      return lines.reduce((sum, { length }) => sum + length, 0);
    },
  };
}
