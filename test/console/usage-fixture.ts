import { openEmbedded } from "../../src/db/embedded.ts";
import { session } from "../../src/db/tables.ts";
import { NANO } from "../../src/spend/money.ts";
import { NO_TOKENS } from "../../src/spend/prices.ts";
import { type CallResult, reserveCalls, settleCalls } from "../../src/spend/store.ts";

/** Of AUTH_MODE=none. */
const ME = "local";
export const SHOP = "https://git.example/acme/shop.git";
export const SESSION = Bun.randomUUIDv7();
/** What an agent calls its model is what it likes. */
export const EVIL_MODEL = "<img src=x onerror=alert(1)>\u202Eevil";

/** A day of the period that the tests look at; days that are over stay as they are. */
export const day = (number: number): string => `2025-01-0${number}`;
const MY_PROMPT = Bun.randomUUIDv7();

interface Given extends Partial<CallResult> {
  usd: number;
  on?: string;
}

export function call({ usd, on, ...more }: Given): CallResult {
  return {
    ...{ id: Bun.randomUUIDv7(), promptId: Bun.randomUUIDv7(), epoch: 0, sessionId: SESSION, userId: ME },
    ...{ repo: SHOP, agent: "claude", api: "anthropic", model: "claude-sonnet-5", status: "done" },
    ...{ httpStatus: 200, tokens: { ...NO_TOKENS, input: 1_000, output: 200, cacheRead: 3_000 } },
    ...{ cost: Math.round(usd * NANO), estimated: false, firstOutputMs: 1, durationMs: 2 },
    startedAt: on === undefined ? undefined : new Date(`${on}T12:00:00Z`),
    ...{ overloaded: false, retryAfterMs: undefined, ...more },
  };
}

/** Calls of several days, users, repositories, models and agents; one of today that is over, and one that is under way. */
export async function seedUsage({ dataDir }: { dataDir: string }): Promise<void> {
  const { orm, close } = await openEmbedded({ dataDir });
  await orm.insert(session).values({
    ...{ id: SESSION, userId: ME, repo: SHOP, targetBranch: "main", branch: "prompt/cart" },
    ...{ title: "Mend the cart", inboxStatus: "Completed" as const },
  });
  const other = { sessionId: Bun.randomUUIDv7(), repo: "https://git.example/acme/api" };
  await settleCalls(orm, [
    call({ usd: 1.5, on: day(1), promptId: MY_PROMPT }),
    call({ usd: 0.25, on: day(1), promptId: MY_PROMPT, status: "broken", estimated: true }),
    call({ usd: 0.004, on: day(3), model: EVIL_MODEL, agent: "codex", ...other }),
    call({ usd: 2.5, on: day(4), model: "claude-opus-5", ...other }),
    call({ usd: 0.05, on: day(4), promptId: undefined, agent: "(titles)", model: "claude-haiku-5" }),
    call({ usd: 40, on: day(4), userId: "ann", sessionId: Bun.randomUUIDv7() }),
    call({ usd: 3.21 }),
  ]);
  // Of a title: nobody takes it for lost before minutes have passed.
  const open = { ...call({ usd: 0 }), promptId: undefined, amount: 0.4 * NANO, inputEstimate: 1 };
  const none = { limits: {}, mostCalls: undefined, mostOpen: undefined };
  await reserveCalls(orm, [{ ...open, ...none }]);
  await close();
}
