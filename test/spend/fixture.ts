import { sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../../src/db/client.ts";
import { NO_TOKENS } from "../../src/spend/prices.ts";
import type { Account, CallResult, Scope, WantedCall } from "../../src/spend/store.ts";

/** On the account of a user, in a session of its own, outside of any run. */
export const accountOf = (userId: string = Bun.randomUUIDv7()): Account => ({
  ...{ promptId: undefined, epoch: 0, sessionId: Bun.randomUUIDv7(), userId },
  ...{ repo: "https://git.example/a/b", agent: "" },
});

export const wantedCall = (of: Account, more: Partial<WantedCall> = {}): WantedCall => ({
  ...of,
  ...{ id: Bun.randomUUIDv7(), api: "anthropic", model: "claude-sonnet-5", amount: 100, inputEstimate: 7 },
  ...{ limits: {}, mostCalls: undefined, mostOpen: undefined, ...more },
});

export const endedCall = (of: WantedCall, more: Partial<CallResult> = {}): CallResult => ({
  ...of,
  ...{ status: "done", httpStatus: 200, tokens: { ...NO_TOKENS, input: 10, output: 5 }, cost: 30 },
  ...{ estimated: false, firstOutputMs: 3, durationMs: 9, startedAt: undefined, overloaded: false },
  ...{ retryAfterMs: undefined, ...more },
});

/** @returns [spent, reserved] of each period. */
export async function spentBy(orm: Orm, scope: Scope, subject: string): Promise<number[][]> {
  const rows = await rowsOf<{ spent: string; reserved: string }>(
    orm,
    sql`select spent, reserved from spend where scope = ${scope} and subject = ${subject} order by period`,
  );
  return rows.map((row) => [Number(row.spent), Number(row.reserved)]);
}
