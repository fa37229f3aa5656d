import { expect, setDefaultTimeout, test } from "bun:test";
import { PATIENCE_MS } from "../harness/patience.ts";
import { describeWith } from "../harness/services.ts";
import { chaos } from "./main.ts";

setDefaultTimeout(PATIENCE_MS);

/** A short run of what `bun run chaos` does for as long as one likes. Seeds that found a bug once stay here. */
const MINUTES = 0.4;
const LIMIT_MS = 300_000;

async function nothingFound(combination: "redis" | "embedded", seed: number): Promise<void> {
  const lines: string[] = [];
  const good = await chaos({ minutes: MINUTES, seed, combination, say: (line) => void lines.push(line) });
  // The whole table, where something was found.
  expect(good ? "" : lines.join("\n")).toBe("");
}

test("embedded: the one process is killed, paused, restarted", () => nothingFound("embedded", 4), LIMIT_MS);

describeWith(["postgres", "redis"], "a cluster", () => {
  test(
    "whatever breaks, nothing is lost, doubled, stuck or left behind",
    () => nothingFound("redis", 3),
    LIMIT_MS,
  );
});
