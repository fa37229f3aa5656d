import { expect, setDefaultTimeout, test } from "bun:test";
import { claudeProgram } from "../harness/claude-code.ts";
import { describeWith, unavailable } from "../harness/services.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { chaos } from "./main.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

/** A short version of `bun run chaos`, for the agents at once and then for Claude Code. Seeds that found a bug stay here. */
const MINUTES = 0.3;
const LIMIT_MS = 300_000;

async function nothingFound(options: {
  combination: "redis" | "embedded";
  seed: number;
  program?: string;
}): Promise<void> {
  const { program } = options;
  const scripts = ["command", "acp"] as const;
  const agents = program === undefined ? [scripts] : [scripts, ["claude"] as const];
  const lines: string[] = [];
  const say = (line: string) => void lines.push(line);
  const good = await chaos({ ...options, agents, minutes: MINUTES * agents.length, say });
  // Shows the whole report when something was found.
  expect(good ? "" : lines.join("\n")).toBe("");
}

test(
  "embedded: the process is killed, suspended, restarted",
  () => nothingFound({ combination: "embedded", seed: 4 }),
  LIMIT_MS,
);

const program = await claudeProgram();

describeWith(["postgres", "redis"], "a cluster", () => {
  const withClaude = typeof program === "string";
  if (!withClaude)
    unavailable({ name: "a cluster that runs Claude Code, under faults", reason: program.missing });
  test(
    "under any fault, nothing is lost, repeated, stuck, forgotten or left behind",
    () => nothingFound({ combination: "redis", seed: 3, ...(withClaude && { program }) }),
    LIMIT_MS,
  );
});
