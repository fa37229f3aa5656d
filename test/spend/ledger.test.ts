import { expect, test } from "bun:test";
import { sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../../src/db/client.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { denialOf } from "../../src/spend/denials.ts";
import { openLedger } from "../../src/spend/ledger.ts";
import { describeEmbedded } from "../harness/databases.ts";
import { until } from "../harness/until.ts";
import { accountOf, endedCall, spentBy, wantedCall } from "./fixture.ts";

const logger = createLogger({ level: "silent" });
const never = new AbortController().signal;
const away = () => Object.assign(new Error("The database is away."), { code: "ECONNREFUSED" });

describeEmbedded("the ledger of a process", (database) => {
  const open = (more: { orm?: Orm; longestWaitMs?: number } = {}) =>
    openLedger({ orm: database().orm, logger, ...more });
  /** A database that fails for the statements that name one of these functions, before or after it has taken effect. */
  const failing = (how: { name: string; times: number; after?: boolean }): Orm => {
    const { orm } = database();
    const execute = async (statement: ReturnType<typeof sql>) => {
      const fails = how.times > 0 && JSON.stringify(statement.queryChunks).includes(how.name);
      if (fails) how.times -= 1;
      if (fails && !how.after) throw away();
      const result = await orm.execute(statement);
      if (fails) throw away();
      return result;
    };
    return Object.create(orm, { execute: { value: execute } });
  };
  const sums = (sessionId: string) => spentBy(database().orm, "session", sessionId);
  const isFree = (sessionId: string) =>
    until(async () => (await sums(sessionId)).every(([, reserved]) => reserved === 0), {
      what: "nothing to be reserved",
    });

  test("a call waits for a place, but not for ever", async () => {
    const ledger = open({ longestWaitMs: 300 });
    const [holder, late] = [accountOf(), accountOf()].map((one) => wantedCall(one, { mostOpen: 1 }));
    if (!holder || !late) throw new Error("unreachable");
    expect(await ledger.reserve(holder, never)).toBeUndefined();
    expect(await ledger.reserve(late, never)).toEqual({ why: "busy", until: undefined });
    expect(await sums(late.sessionId)).toEqual([]);
    await ledger.settle(endedCall(holder));
    expect(await ledger.reserve(late, never)).toBeUndefined();
    await ledger.settle(endedCall(late));
    expect(ledger.waiting()).toBe(0);
  });

  test("money that another call holds is waited for, and taken when it comes back", async () => {
    const ledger = open();
    const account = accountOf();
    const [first, second] = [wantedCall(account), wantedCall(account)].map((call) => ({
      ...call,
      limits: { session: 150 },
    }));
    if (!first || !second) throw new Error("unreachable");
    expect(await ledger.reserve(first, never)).toBeUndefined();
    const waits = ledger.reserve(second, never);
    await ledger.settle(endedCall(first));
    expect(await waits).toBeUndefined();
    await ledger.settle(endedCall(second));
    expect(await sums(account.sessionId)).toEqual([[60, 0]]);
  });

  test("who goes away while a call waits leaves nothing reserved, and nobody in the line", async () => {
    const ledger = open();
    const [holder, gone] = [accountOf(), accountOf()].map((one) => wantedCall(one, { mostOpen: 1 }));
    if (!holder || !gone) throw new Error("unreachable");
    await ledger.reserve(holder, never);
    const leave = new AbortController();
    const waits = ledger.reserve(gone, leave.signal);
    await until(() => ledger.waiting() === 1, { what: "it to wait" });
    leave.abort(new Error("gone away"));
    await expect(waits).rejects.toThrow("gone away");
    expect(ledger.waiting()).toBe(0);
    await until(async () => (await rowsOf(database().orm, sql`select 1 from model_turn`)).length === 0, {
      what: "the line to be empty",
    });
    await ledger.settle(endedCall(holder));
    expect(await sums(gone.sessionId)).toEqual([]);
  });

  test("one node's overload makes the other wait, as long as the API has asked for", async () => {
    const [first, second] = [open(), open({ longestWaitMs: 0 })];
    const call = wantedCall(accountOf(), { api: "google" });
    await first.reserve(call, never);
    const overload = { status: "failed", httpStatus: 529, overloaded: true, retryAfterMs: 20_000 } as const;
    await first.settle(endedCall(call, overload));
    const other = wantedCall(accountOf(), { api: "google" });
    const refusal = await second.reserve(other, never);
    if (refusal?.why !== "busy") throw new Error(`unexpected: ${refusal?.why}`);
    const { retryAfterMs = 0 } = denialOf(refusal);
    expect(retryAfterMs).toBeGreaterThan(5_000);
    expect(retryAfterMs).toBeLessThan(21_000);
    // Another API is not concerned.
    const elsewhere = wantedCall(accountOf(), { api: "openai" });
    expect(await second.reserve(elsewhere, never)).toBeUndefined();
    await second.settle(endedCall(elsewhere));
    const waits = open().reserve(other, never);
    await database().orm.execute(
      sql`update model_api set back_off_until = clock_timestamp() + interval '100 milliseconds' where api = 'google'`,
    );
    expect(await waits).toBeUndefined();
  });

  test("while the database is away no call is made, and none stays reserved", async () => {
    for (const after of [false, true]) {
      const ledger = open({ orm: failing({ name: "reserve_model_calls", times: 1, after }) });
      const call = wantedCall(accountOf());
      await expect(ledger.reserve(call, never)).rejects.toThrow("The database is away.");
      await isFree(call.sessionId);
      const rows = await rowsOf(
        database().orm,
        sql`select 1 from model_call where session_id = ${call.sessionId}::uuid`,
      );
      expect(rows).toEqual([]);
      expect(await ledger.reserve(call, never)).toBeUndefined();
      await ledger.settle(endedCall(call));
      expect(await sums(call.sessionId)).toEqual([[30, 0]]);
    }
  });

  test("what a call has cost is stored once the database is back, and once only", async () => {
    const ledger = open({ orm: failing({ name: "settle_model_calls", times: 3, after: true }) });
    const call = wantedCall(accountOf());
    await ledger.reserve(call, never);
    await ledger.settle(endedCall(call));
    expect(await sums(call.sessionId)).toEqual([[30, 0]]);
  });

  test("one call that cannot be stored takes no other along", async () => {
    const ledger = open();
    const [bad, good] = [wantedCall(accountOf()), wantedCall(accountOf())];
    const results = await Promise.allSettled([
      ledger.reserve({ ...bad, id: "no-uuid" }, never),
      ledger.reserve(good, never),
    ]);
    expect(results.map(({ status }) => status)).toEqual(["rejected", "fulfilled"]);
    await ledger.reserve(bad, never);
    const settled = await Promise.allSettled([
      ledger.settle(endedCall(bad, { cost: 1e300 })),
      ledger.settle(endedCall(good)),
    ]);
    expect(settled.map(({ status }) => status)).toEqual(["rejected", "fulfilled"]);
    expect(await sums(good.sessionId)).toEqual([[30, 0]]);
  });

  test("a call that is dearer than its whole budget is told what it could cost, and what to do", async () => {
    const call = wantedCall(accountOf(), { amount: 2_500_000_000, limits: { user_day: 1_000_000_000 } });
    const refusal = await open().reserve(call, never);
    if (!refusal) throw new Error("unexpected");
    expect(denialOf(refusal)).toMatchObject({
      denied: "budget",
      message:
        "This call alone could cost $2.50, which is more than the whole budget of $1.00 for you today: it needs a lower limit of output (such as max_tokens), a cheaper model or a higher budget.",
    });
  });
});
