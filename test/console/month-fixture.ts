import { openEmbedded } from "../../src/db/embedded.ts";
import { NO_TOKENS } from "../../src/spend/prices.ts";
import { settleCalls } from "../../src/spend/store.ts";
import { call } from "./usage-fixture.ts";

const DAY_MS = 86_400_000;
const DAYS = 30;
/** By how many runs a day. */
const REPOS = [
  { repo: "https://github.com/acme/shop", runs: 4 },
  { repo: "https://github.com/acme/api", runs: 2 },
  { repo: "https://github.com/acme/docs", runs: 1 },
];
/** What a call costs, US dollars. */
const MODELS = [
  { model: "claude-sonnet-5", agent: "claude", usd: 0.061 },
  { model: "claude-opus-5", agent: "claude", usd: 0.148 },
  { model: "gpt-5.2-codex", agent: "codex", usd: 0.047 },
];
const CALLS_OF_A_RUN = 6;

/** A month of a small team's user, for pictures: the same each time but for its dates. */
export async function seedMonth({ dataDir }: { dataDir: string }): Promise<void> {
  const { orm, close } = await openEmbedded({ dataDir });
  const calls = Array.from({ length: DAYS }, (_, ago) => ofDay(new Date(Date.now() - ago * DAY_MS), ago));
  await settleCalls(orm, calls.flat());
  await close();
}

function ofDay(at: Date, ago: number) {
  const isWeekend = [0, 6].includes(at.getUTCDay());
  return REPOS.flatMap(({ repo, runs }, which) =>
    Array.from({ length: isWeekend ? 0 : runs + ((ago * 7 + which * 3) % 4) }, (_, run) => {
      const { usd = 0, ...used } = MODELS[(ago + run + which) % MODELS.length] ?? {};
      const promptId = Bun.randomUUIDv7();
      const sessionId = Bun.randomUUIDv7();
      return Array.from({ length: CALLS_OF_A_RUN + ((ago + run) % 5) }, (_, step) =>
        call({
          ...{ ...used, repo, promptId, sessionId, on: at.toISOString().slice(0, 10) },
          usd: usd * (1 + (step % 3) / 4),
          tokens: { ...NO_TOKENS, input: 900, output: 640, cacheRead: 21_000, cacheWrite: 1_800 },
        }),
      );
    }).flat(),
  );
}
