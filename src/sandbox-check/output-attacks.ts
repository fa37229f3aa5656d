import { writeSync } from "node:fs";
import { MIB } from "../shared/units.ts";
import { type Attack, blocked, codeOf, open } from "./attack.ts";
import { CHECK_LIMITS } from "./settings.ts";

/** What a program prints: the journal on the disk, and the lines that the service reads from it. */
export const OUTPUT_ATTACKS: readonly Attack[] = [
  {
    id: "limit-output",
    title: "fill the disk with stdout",
    stoppedBy: "byte quota of the journal",
    alone: true,
    inside() {
      const chunk = Buffer.alloc(MIB, "y\n");
      try {
        for (let count = 0; count < (4 * CHECK_LIMITS.outputBytes) / MIB; count++) writeSync(1, chunk);
        return blocked("written");
      } catch (error) {
        return blocked(codeOf(error));
      }
    },
    outside: async ({ journalBytes }) =>
      journalBytes > 2 * CHECK_LIMITS.outputBytes
        ? open(`the journal has ${Math.round(journalBytes / MIB)} MiB`)
        : blocked(`the journal has ${(journalBytes / MIB).toFixed(1)} MiB`),
  },
  {
    id: "limit-long-line",
    title: "print one line that is as long as the quota",
    stoppedBy: "lines are cut",
    alone: true,
    inside() {
      const chunk = Buffer.alloc(MIB, "x");
      for (let count = 0; count < CHECK_LIMITS.outputBytes / MIB - 1; count++) writeSync(1, chunk);
      return blocked("written");
    },
    outside: async ({ longestLine }) =>
      longestLine > 17 * MIB
        ? open(`a line of ${longestLine} characters was read whole`)
        : blocked(`it was cut to ${longestLine} characters`),
  },
];
