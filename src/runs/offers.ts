export type Offers = ReturnType<typeof createOffers>;

/**
 * The prompts that other machines leave to this one for a while, because it has their sessions warm. Each is known by its
 * session until it has started, was declined, or cannot start.
 */
export function createOffers(options: {
  /** Lets other machines have the prompt at once. */
  decline: (sessionId: string) => void;
  /** Wakes the processes that wait for this machine to take an offered prompt. */
  wakeOthers: () => void;
}) {
  const open = new Set<string>();
  /** The sessions of the present runs. */
  const present: string[] = [];

  return {
    add: (sessionId: string): void => void open.add(sessionId),

    /** Nothing may start: not the offered prompts either, on whatever machine. */
    clear: (): void => open.clear(),

    started(sessionId: string): void {
      present.push(sessionId);
      if (open.delete(sessionId)) options.wakeOthers();
    },

    ended(sessionId: string): void {
      present.splice(present.indexOf(sessionId), 1);
    },

    /**
     * No slot is free: declines the open offers, except those whose last prompt is about to leave its slot. Its end is what
     * has dispatched the next one.
     */
    declineAll(): void {
      for (const sessionId of open) {
        if (present.includes(sessionId)) continue;
        open.delete(sessionId);
        options.decline(sessionId);
      }
    },
  };
}
