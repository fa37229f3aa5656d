import { expect, test } from "bun:test";
import { sql } from "drizzle-orm";
import { rowsOf } from "../../src/db/client.ts";
import type { ModelApi } from "../../src/db/columns.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { type Ledger, openLedger } from "../../src/spend/ledger.ts";
import { purgeModelTurns } from "../../src/spend/purge-store.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { until } from "../harness/until.ts";
import { accountOf, endedCall, wantedCall } from "./fixture.ts";

const logger = createLogger({ level: "silent" });
const never = new AbortController().signal;

describeEachDatabase("users in turn, while an API takes no more calls", (database) => {
  const node = () => openLedger({ orm: database().orm, logger, longestWaitMs: 60_000 });
  const waitingUsers = async (api: ModelApi) =>
    (
      await rowsOf<{ user: string }>(
        database().orm,
        sql`select user_id as user from model_turn where api = ${api} and until > clock_timestamp()`,
      )
    ).map(({ user }) => user);

  test("one user's many calls on one node are one of many users' beside those on another", async () => {
    const [first, second] = [node(), node()];
    const api = "openai";
    const served: string[] = [];
    const ask = (ledger: Ledger, userId: string) => {
      const call = wantedCall(accountOf(userId), { api, mostOpen: 1 });
      return ledger.reserve(call, never).then(async (refusal) => {
        expect(refusal).toBeUndefined();
        served.push(userId);
        await ledger.settle(endedCall(call));
      });
    };
    const holder = wantedCall(accountOf(), { api, mostOpen: 1 });
    await first.reserve(holder, never);
    const greedy = Array.from({ length: 20 }, () => ask(first, "greedy"));
    await until(async () => (await waitingUsers(api)).length === 1, { what: "the first user to wait" });
    const others = Array.from({ length: 10 }, (_, index) => `user-${index}`);
    const more = others.flatMap((user) => [ask(second, user), ask(second, user)]);
    await until(async () => (await waitingUsers(api)).length === 11, { what: "all users to wait" });
    await first.settle(endedCall(holder));
    await Promise.all([...greedy, ...more]);
    expect(served[0]).toBe("greedy");
    const rounds = [served.slice(0, 11), served.slice(11, 22)].map((round) => round.toSorted());
    expect(rounds).toEqual([
      ["greedy", ...others],
      ["greedy", ...others],
    ]);
    expect(new Set(served.slice(22))).toEqual(new Set(["greedy"]));
    expect(served).toHaveLength(40);
    expect(await waitingUsers(api)).toEqual([]);
  });

  test("nobody who comes later is served before, and who has gone away keeps nobody waiting", async () => {
    const [first, second, third] = [node(), node(), node()];
    const api = "google";
    const holder = wantedCall(accountOf(), { api, mostOpen: 1 });
    await first.reserve(holder, never);
    const leave = new AbortController();
    const gone = third.reserve(wantedCall(accountOf("gone"), { api, mostOpen: 1 }), leave.signal);
    const early = wantedCall(accountOf("early"), { api, mostOpen: 1 });
    const waits = first.reserve(early, never);
    await until(async () => (await waitingUsers(api)).length === 2, { what: "two users to wait" });
    leave.abort(new Error("gone"));
    await expect(gone).rejects.toThrow("gone");
    await until(async () => (await waitingUsers(api)).join() === "early", { what: "that one to be gone" });
    const order: string[] = [];
    const late = wantedCall(accountOf("late"), { api, mostOpen: 1 });
    const served = [
      waits.then(() => {
        order.push("early");
        return first.settle(endedCall(early));
      }),
    ];
    // The place becomes free on the other node, which looks first.
    await second.settle(endedCall(holder));
    served.push(
      second.reserve(late, never).then(() => {
        order.push("late");
        return second.settle(endedCall(late));
      }),
    );
    await Promise.all(served);
    expect(order).toEqual(["early", "late"]);
  });

  test("those who do not wait any more are purged", async () => {
    const { orm } = database();
    await orm.execute(sql`insert into model_turn (api, user_id, since, until) values
      ('openai', 'left', now() - interval '1 hour', now() - interval '59 minutes'),
      ('openai', 'waits', now() - interval '1 hour', now() + interval '1 hour')`);
    expect(await purgeModelTurns(orm)).toBe(1);
    expect(await rowsOf<{ user_id: string }>(orm, sql`select user_id from model_turn`)).toMatchObject([
      { user_id: "waits" },
    ]);
  });
});
