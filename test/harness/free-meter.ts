import type { Meter } from "../../src/spend/meter.ts";

/** Lets all calls pass and counts none, for tests of what is around it. */
export const freeMeter: Meter = {
  begin: async () => ({ answered: () => undefined, push: () => undefined, end: async () => undefined }),
};
