import { expect, setDefaultTimeout, test } from "bun:test";
import { describeWith } from "../harness/services.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { chaos } from "./main.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

/** A short version of `bun run chaos`. Seeds that found a bug stay here. */
const MINUTES = 0.4;
const LIMIT_MS = 300_000;

async function nothingFound(combination: "redis" | "embedded", seed: number): Promise<void> {
  const lines: string[] = [];
  const good = await chaos({ minutes: MINUTES, seed, combination, say: (line) => void lines.push(line) });
  // Shows the whole report when something was found.
  expect(good ? "" : lines.join("\n")).toBe("");
}

test("embedded: the process is killed, suspended, restarted", () => nothingFound("embedded", 4), LIMIT_MS);

describeWith(["postgres", "redis"], "a cluster", () => {
  test(
    "under any fault, nothing is lost, repeated, stuck or left behind",
    () => nothingFound("redis", 3),
    LIMIT_MS,
  );
});
