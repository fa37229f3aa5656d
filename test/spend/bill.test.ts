import { expect, test } from "bun:test";
import { claudeProgram } from "../harness/claude-code.ts";
import { createDatabase, describeWith, unavailable } from "../harness/services.ts";
import { compareBill } from "./bill.ts";
import { TROUBLES } from "./bill-plan.ts";

/** A short version of `bun run bill`: each trouble happens once, two in a run. */
const EACH = 2;
const SEED = 2;
const LIMIT_MS = 600_000;

const program = await claudeProgram();

describeWith("postgres", "usage and the bill of the model's API", () => {
  const name =
    "are the same, to the cent and what nobody can know, whatever breaks while the real Claude Code works";
  if (typeof program !== "string") return unavailable({ name, reason: program.missing });
  test(
    name,
    async () => {
      const database = await createDatabase();
      const lines: string[] = [];
      try {
        const { wrong, deeds } = await compareBill({
          ...{
            runs: TROUBLES.length / EACH,
            each: EACH,
            seed: SEED,
            atOnce: 8,
            databaseUrl: database.url,
            program,
          },
          say: (line) => void lines.push(line),
        });
        // Shows the whole report when something was found.
        expect(wrong.length === 0 ? "" : [...lines, ...wrong].join("\n")).toBe("");
        expect(TROUBLES.filter((one) => one !== "none" && !deeds[one])).toEqual([]);
      } finally {
        await database.drop();
      }
    },
    LIMIT_MS,
  );
});
