import { expect, test } from "bun:test";
import { sql } from "drizzle-orm";
import { rowsOf } from "../../src/db/client.ts";
import { settleLostCalls } from "../../src/spend/lost-calls.ts";
import { NO_TOKENS, openPrices } from "../../src/spend/prices.ts";
import {
  cancelCalls,
  lostCalls,
  recordProgress,
  reserveCalls,
  type Scope,
  settleCalls,
} from "../../src/spend/store.ts";
import { describeEachDatabase, describeOnPostgres } from "../harness/databases.ts";
import { accountOf, endedCall, spentBy, wantedCall } from "./fixture.ts";

describeEachDatabase("reserving and settling model calls", (database) => {
  const [account, wanted, ended] = [accountOf, wantedCall, endedCall];
  const spent = (scope: Scope, subject: string) => spentBy(database().orm, scope, subject);
  const usage = (sessionId: string) =>
    rowsOf<{ model: string; calls: number; cost: number }>(
      database().orm,
      sql`select model, calls::int, cost::int from model_usage where session_id = ${sessionId}::uuid and calls > 0 order by 1`,
    );

  test("a reservation is in all scopes, and becomes what the call has cost", async () => {
    const own = account();
    const call = wanted(own);
    expect(await reserveCalls(database().orm, [call])).toEqual(new Map());
    expect(await spent("session", own.sessionId)).toEqual([[0, 100]]);
    expect(await spent("user_month", own.userId)).toEqual([[0, 100]]);
    await settleCalls(database().orm, [ended(call)]);
    for (const [scope, subject] of [
      ["session", own.sessionId],
      ["user_day", own.userId],
      ["user_month", own.userId],
    ] as const)
      expect(await spent(scope, subject)).toEqual([[30, 0]]);
    expect(await usage(own.sessionId)).toEqual([{ model: "claude-sonnet-5", calls: 1, cost: 30 }]);
    // A settlement whose answer was lost is sent again.
    await settleCalls(database().orm, [ended(call)]);
    expect(await spent("user_day", own.userId)).toEqual([[30, 0]]);
    expect(await usage(own.sessionId)).toEqual([{ model: "claude-sonnet-5", calls: 1, cost: 30 }]);
  });

  test("one budget that lacks it refuses it in all; what others only hold is waited for", async () => {
    const own = account();
    const limits = { user_day: 250 };
    const [first, second, third] = [1, 2, 3].map(() => wanted(own, { limits }));
    if (!first || !second || !third) throw new Error("unreachable");
    const refused = await reserveCalls(database().orm, [first, second, third]);
    expect(refused).toEqual(new Map([[third.id, { why: "held" }]]));
    expect(await spent("session", own.sessionId)).toEqual([[0, 200]]);
    await settleCalls(database().orm, [ended(first, { cost: 90 }), ended(second, { cost: 90 })]);
    expect(await reserveCalls(database().orm, [third])).toEqual(
      new Map([
        [third.id, { why: "budget", scope: "user_day", most: 250, spent: 180, reserved: 0, amount: 100 }],
      ]),
    );
    expect(await spent("session", own.sessionId)).toEqual([[180, 0]]);
  });

  test("concurrent reservations never pass a limit together", async () => {
    const userId = Bun.randomUUIDv7();
    const calls = Array.from({ length: 20 }, () => wanted(account(userId), { limits: { user_day: 1000 } }));
    const refused = await Promise.all(calls.map((call) => reserveCalls(database().orm, [call])));
    expect(refused.filter((one) => one.size === 0)).toHaveLength(10);
    expect(await spent("user_day", userId)).toEqual([[0, 1000]]);
  });

  test("a call that was lost counts with what was known of it, until its result says otherwise", async () => {
    const own = account();
    const call = wanted(own);
    await reserveCalls(database().orm, [call]);
    await recordProgress(database().orm, [
      { id: call.id, model: "m-1", tokens: { ...NO_TOKENS, input: 12 } },
    ]);
    await database().orm.execute(
      sql`update model_call set started_at = now() - interval '1 hour' where id = ${call.id}::uuid`,
    );
    const lost = (await lostCalls(database().orm)).find(({ id }) => id === call.id);
    expect(lost).toMatchObject({ model: "m-1", tokens: { input: 12 }, inputEstimate: 0, userId: own.userId });
    await settleCalls(database().orm, [
      ended(call, { status: "lost", cost: 12, estimated: true, model: "m-1" }),
    ]);
    expect((await lostCalls(database().orm)).some(({ id }) => id === call.id)).toBe(false);
    expect(await spent("session", own.sessionId)).toEqual([[12, 0]]);
    await settleCalls(database().orm, [ended(call, { cost: 40, model: "m-2" })]);
    await settleCalls(database().orm, [ended(call, { status: "lost", cost: 1 })]);
    expect(await spent("session", own.sessionId)).toEqual([[40, 0]]);
    expect(await usage(own.sessionId)).toEqual([{ model: "m-2", calls: 1, cost: 40 }]);
  });

  test("a lost call of which its API had not said anything reads from the cache what the one before has put there", async () => {
    const own = account();
    const [promptId, before, lost] = [Bun.randomUUIDv7(), Bun.randomUUIDv7(), Bun.randomUUIDv7()];
    await database().orm.execute(sql`insert into model_call (id, prompt_id, session_id, user_id, repo, agent, api, model, status,
        input_tokens, cache_read_tokens, cache_write_tokens, input_estimate, started_at)
      values (${before}, ${promptId}, ${own.sessionId}, ${own.userId}, '', '', 'anthropic', 'claude-sonnet-4-5-20250929', 'done', 10, 600, 400, 0, now()),
        (${lost}, ${promptId}, ${own.sessionId}, ${own.userId}, '', '', 'anthropic', 'claude-sonnet-4-5', 'open', 0, 0, 0, 1210, now() - interval '1 minute')`);
    await settleLostCalls(database().orm, openPrices({ own: [], unknown: "refuse" }));
    const rows = await rowsOf(
      database().orm,
      sql`select status, input_tokens::int as input, cache_read_tokens::int as read, cache_write_tokens::int as written, cost::int
        from model_call where id = ${lost}::uuid`,
    );
    expect(rows).toEqual([
      { status: "lost", input: 10, read: 1000, written: 200, cost: 10 * 3_000 + 1000 * 300 + 200 * 3_750 },
    ]);
  });

  test("a result without its reservation, which a crash of the database has lost, is written down", async () => {
    const own = account();
    await settleCalls(database().orm, [ended(wanted(own), { cost: 5 })]);
    expect(await spent("session", own.sessionId)).toEqual([[5, 0]]);
    expect(await usage(own.sessionId)).toEqual([{ model: "claude-sonnet-5", calls: 1, cost: 5 }]);
  });

  /** Cause: the row that lost-calls.ts had read was cancelled before it was settled, and was then written anew, with a cost. */
  test("a call that was cancelled is not lost", async () => {
    const own = account();
    const call = wanted(own);
    await reserveCalls(database().orm, [call]);
    await cancelCalls(database().orm, [{ id: call.id, api: call.api, userId: undefined }]);
    await settleCalls(database().orm, [ended(call, { status: "lost", cost: 12, estimated: true })]);
    expect(await spent("session", own.sessionId)).toEqual([[0, 0]]);
    expect(await usage(own.sessionId)).toEqual([]);
  });

  test("of calls whose reservations are gone, each counts as one", async () => {
    const own = account();
    await settleCalls(database().orm, [ended(wanted(own)), ended(wanted(own))]);
    const rows = await rowsOf(
      database().orm,
      sql`select calls::int from spend where scope = 'session' and subject = ${own.sessionId}`,
    );
    expect(rows).toEqual([{ calls: 2 }]);
  });

  test("a call of a run that has ended, or that another runner has taken over, is refused", async () => {
    const call = wanted({ ...account(), promptId: Bun.randomUUIDv7() });
    expect(await reserveCalls(database().orm, [call])).toEqual(new Map([[call.id, { why: "ended" }]]));
  });

  test("a call that is not made leaves nothing behind, and counts for nothing", async () => {
    const own = account();
    const call = wanted(own, { limits: { session: 100 } });
    await reserveCalls(database().orm, [call]);
    const unmade = [{ id: call.id, api: call.api, userId: own.userId }];
    await cancelCalls(database().orm, unmade);
    await cancelCalls(database().orm, unmade);
    expect(await spent("session", own.sessionId)).toEqual([[0, 0]]);
    expect(await usage(own.sessionId)).toEqual([]);
    const again = wanted(own, { limits: { session: 100 } });
    expect(await reserveCalls(database().orm, [again])).toEqual(new Map());
    // One that was made stays, whatever is said of it.
    await settleCalls(database().orm, [ended(again)]);
    await cancelCalls(database().orm, [{ id: again.id, api: again.api, userId: undefined }]);
    expect(await spent("session", own.sessionId)).toEqual([[30, 0]]);
  });

  test("one call whose worst case is beyond all numbers harms no other", async () => {
    const [own, other] = [account(), account()];
    const huge = wanted(own, { amount: 1e22, limits: { session: 1e12 } });
    const usual = wanted(other);
    const refused = await reserveCalls(database().orm, [huge, usual]);
    expect([...refused.keys()]).toEqual([huge.id]);
    expect(refused.get(huge.id)).toMatchObject({ why: "budget", scope: "session" });
    expect(await spent("session", other.sessionId)).toEqual([[0, 100]]);
  });

  test("an API that asks to be left alone for years is asked again after five minutes", async () => {
    const own = account();
    for (const [retryAfterMs, seconds] of [
      [999_999_999_000, 300],
      [-5_000, 0],
    ] as const) {
      const call = wanted(own, { api: "openai" });
      expect(await reserveCalls(database().orm, [call])).toEqual(new Map());
      await settleCalls(database().orm, [
        ended(call, { status: "failed", httpStatus: 429, overloaded: true, retryAfterMs }),
      ]);
      const [row] = await rowsOf<{ wait: number }>(
        database().orm,
        sql`select extract(epoch from back_off_until - clock_timestamp())::float8 as wait from model_api where api = 'openai'`,
      );
      // Stored times are rounded to milliseconds.
      expect(row?.wait).toBeLessThanOrEqual(seconds + 0.001);
      expect(row?.wait).toBeGreaterThan(seconds - 30);
      await database().orm.execute(
        sql`update model_api set back_off_until = now() - interval '1 hour' where api = 'openai'`,
      );
    }
  });

  test("an API that is overloaded gets nothing until then, then one call more for each that it answers", async () => {
    const own = account();
    const google = () => wanted(own, { api: "google" });
    const open = [google(), google(), google(), google()];
    expect(await reserveCalls(database().orm, open)).toEqual(new Map());
    const [first, second, ...rest] = open;
    if (!first || !second) throw new Error("unreachable");
    await settleCalls(database().orm, [
      ended(first, { status: "failed", httpStatus: 429, overloaded: true, retryAfterMs: 60_000 }),
    ]);
    const next = google();
    const refusal = (await reserveCalls(database().orm, [next])).get(next.id);
    expect(refusal?.why === "busy" && refusal.until && refusal.until.getTime() - Date.now()).toBeGreaterThan(
      50_000,
    );
    await settleCalls(database().orm, [
      ended(second, { status: "failed", httpStatus: 429, overloaded: true }),
    ]);
    await settleCalls(
      database().orm,
      rest.map((one) => ended(one, { status: "failed", httpStatus: 500 })),
    );
    await database().orm.execute(
      sql`update model_api set back_off_until = now() - interval '1 second' where api = 'google'`,
    );
    const after = [google(), google(), google()];
    // Of four that were under way, two: the second that was told so at the same time has not halved it again.
    expect([...(await reserveCalls(database().orm, after)).values()]).toEqual([
      { why: "busy", until: undefined },
    ]);
    await settleCalls(
      database().orm,
      after.slice(0, 1).map((one) => ended(one)),
    );
    expect(await reserveCalls(database().orm, [google(), google()])).toEqual(new Map());
  });
});

describeOnPostgres("the progress of model calls", (database) => {
  /** Cause: each could have a call that the other waited for, until the database ended one of them; all calls waited with them. */
  test("does not wait for what is being settled", async () => {
    const { orm } = database();
    const [settling, open] = [wantedCall(accountOf()), wantedCall(accountOf())];
    await reserveCalls(orm, [settling, open]);
    await orm.transaction(async (tx) => {
      await settleCalls(tx as unknown as typeof orm, [endedCall(settling)]);
      const tokens = { ...NO_TOKENS, output: 77 };
      await recordProgress(
        orm,
        [settling, open].map(({ id }) => ({ id, model: "m", tokens })),
      );
    });
    const rows = await rowsOf(
      orm,
      sql`select status, output_tokens::int as output from model_call where id in (${settling.id}, ${open.id}) order by status`,
    );
    expect(rows).toEqual([
      { status: "done", output: 5 },
      { status: "open", output: 77 },
    ]);
  });
});
