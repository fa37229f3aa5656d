import { expect, test } from "bun:test";
import { sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../../src/db/client.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { reserveCalls, settleCalls } from "../../src/spend/store.ts";
import { createDeployment, startBackend } from "../harness/backend.ts";
import { makeRepository } from "../harness/repository.ts";
import { createDatabase, describeWith } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import { accountOf, endedCall, wantedCall } from "./fixture.ts";

const LONG = 400_000;
const logger = createLogger({ level: "silent" });
const DOLLAR = 1_000_000_000;
const CENT = DOLLAR / 100;
const RUNS = 20;

/** Remembers the most that was ever spent and reserved together, of every state that anybody could have seen. */
const watchPeak = async (orm: Orm) => {
  await orm.execute(sql`create table peak (scope text primary key, most bigint not null)`);
  await orm.execute(sql`create function note_peak() returns trigger language plpgsql as $$ begin
    insert into peak values (new.scope, new.spent + new.reserved)
      on conflict (scope) do update set most = greatest(peak.most, excluded.most);
    return null; end $$`);
  await orm.execute(
    sql`create trigger note_peak after insert or update on spend for each row execute function note_peak()`,
  );
};
const totals = async (orm: Orm) => {
  const [row] = await rowsOf<Record<"spent" | "reserved" | "peak" | "open", number>>(
    orm,
    sql`select coalesce(sum(spent), 0)::float8 as spent, coalesce(sum(reserved), 0)::float8 as reserved,
      (select coalesce(max(most), 0)::float8 from peak where scope = 'deployment_day') as peak,
      (select count(*)::int from model_call where status = 'open') as open
      from spend where scope = 'deployment_day'`,
  );
  return row ?? { spent: 0, reserved: 0, peak: 0, open: 0 };
};

/** Answers with what costs a cent at claude-haiku-4-5's price, and bills what it could deliver. */
function startModel() {
  const bill = { calls: 0 };
  const server = Bun.serve({
    ...{ hostname: "127.0.0.1", port: 0, idleTimeout: 0 },
    async fetch(request) {
      const { signal } = request;
      // Titles are asked for, too.
      if (!(await request.text()).includes("1600"))
        return Response.json({ type: "message", usage: { input_tokens: 0, output_tokens: 0 } });
      // Long enough that many calls of both nodes are under way at the same time.
      await Bun.sleep(30 + Math.random() * 100);
      if (signal.aborted) return new Response();
      bill.calls += 1;
      const usage = { input_tokens: 2_000, output_tokens: 1_600 };
      return Response.json({ type: "message", model: "claude-haiku-4-5", usage });
    },
  });
  return {
    bill,
    url: `http://127.0.0.1:${server.port}`,
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

const ASK = `curl -sf -o /dev/null -H "x-api-key: $ANTHROPIC_API_KEY" -d '{"model":"claude-haiku-4-5","max_tokens":1600}' "$ANTHROPIC_BASE_URL/v1/messages"`;
const AGENTS = [
  {
    ...{ name: "loop", protocol: "lines", modelApi: "anthropic" },
    command: ["sh", "-c", `export NO_PROXY='*'; while ${ASK}; do :; done; echo refused; exit 1`],
  },
];

describeWith("postgres", "a race for the last dollar", () => {
  test(
    "hundreds of reservations by two pools at once: the limit is reached and never passed",
    async () => {
      const { url, drop } = await createDatabase();
      const pools = await Promise.all([1, 2].map(() => openPostgres({ url, poolMax: 10, logger })));
      const [first, second] = pools;
      if (!first || !second) throw new Error("unreachable");
      await watchPeak(first.orm);
      const users = Array.from({ length: 7 }, (_, index) => accountOf(`user-${index}`));
      const limits = { deployment_day: DOLLAR, user_day: DOLLAR / 4 };
      let made = 0;
      const race = async (index: number) => {
        const { orm } = index % 2 ? first : second;
        const account = users[index % users.length] ?? accountOf();
        for (let left = 10; left > 0; left -= 1) {
          const amount = Math.ceil(Math.random() * CENT);
          const call = wantedCall(account, { amount, limits });
          const refused = await reserveCalls(orm, [call]);
          if (refused.size > 0) continue;
          made += 1;
          await settleCalls(orm, [endedCall(call, { cost: Math.floor(amount * Math.random()) })]);
        }
      };
      await Promise.all(Array.from({ length: 200 }, (_, index) => race(index)));
      // What is left is less than what the next could cost.
      for (let refusals = 0; refusals < 20; ) {
        const call = wantedCall(users[refusals % 7] ?? accountOf(), { amount: CENT, limits });
        if ((await reserveCalls(first.orm, [call])).size > 0) refusals += 1;
        else await settleCalls(first.orm, [endedCall(call, { cost: CENT })]);
      }
      const { spent, reserved, peak, open } = await totals(first.orm);
      expect([reserved, open]).toEqual([0, 0]);
      expect(spent).toBeLessThanOrEqual(DOLLAR);
      expect(spent).toBeGreaterThan(DOLLAR - CENT);
      expect(peak).toBeLessThanOrEqual(DOLLAR);
      expect(made).toBeGreaterThan(100);
      await Promise.all(pools.map((pool) => pool.close()));
      await drop();
    },
    LONG,
  );

  test.each([
    ["to their end", false],
    ["one of which is killed with kill -9", true],
  ])(
    "20 runs on two nodes, %s: never passed, nothing left reserved a minute later",
    async (_, kills) => {
      await using model = startModel();
      await using deployment = await createDeployment("postgres");
      // Its folder and its sandboxes alone are another machine's.
      await using machine = await createDeployment("embedded", { first: true });
      const { DATABASE_URL = "" } = deployment.env;
      const database = await openPostgres({ url: DATABASE_URL, poolMax: 2, logger });
      await watchPeak(database.orm);
      const env = {
        ...{ DATABASE_URL, AGENTS: JSON.stringify(AGENTS), WORKER_CONCURRENCY: String(RUNS / 2) },
        ...{ ANTHROPIC_API_KEY: "sk-test", ANTHROPIC_BASE_URL: model.url },
        ...{ BUDGET_USD_PER_DEPLOYMENT_DAY: "1", LOG_LEVEL: "info", MIN_FREE_DISK_MB: "16" },
      };
      await using first = await startBackend(deployment, { env: { ...env, AGENT_UIDS: "210000-214999" } });
      await using second = await startBackend(machine, { env: { ...env, AGENT_UIDS: "215000-219999" } });
      const repository = await makeRepository();
      const sent = await Promise.all(
        Array.from({ length: RUNS }, () => first.submit(repository.path, "Spend", { agent: "loop" })),
      );
      if (kills) {
        await until(async () => model.bill.calls >= 40 && (await totals(database.orm)).open >= 4, {
          what: "the race to be on",
          timeoutMs: 120_000,
        });
        second.process.kill("SIGKILL");
        await second.process.exit;
      }
      const atKill = model.bill.calls;
      await until(async () => (await totals(database.orm)).spent > DOLLAR - 2 * CENT, {
        what: "the dollar to be spent",
        timeoutMs: 200_000,
      });
      const end = await until(
        async () => {
          const now = await totals(database.orm);
          return now.open === 0 && now.reserved === 0 && now;
        },
        { what: "nothing to be reserved a minute later", timeoutMs: 60_000 },
      );
      // The rest of the runs find the budget used up, and wait for the next day: none reserves anything for good.
      await until(
        async () => {
          const prompts = await Promise.all(
            sent.map(({ promptId }) => first.request("GET", `/prompts/${promptId}`)),
          );
          return prompts.every(({ body }) => body.prompt.waiting_for === "budget" || undefined);
        },
        { what: "all runs to wait for their budget", timeoutMs: 120_000 },
      );
      expect(await totals(database.orm)).toEqual(end);
      expect(end.peak).toBeLessThanOrEqual(DOLLAR);
      expect(end.peak).toBeGreaterThan(DOLLAR - 2 * CENT);
      if (kills) {
        expect(atKill).toBeLessThan(100);
        // Of the calls that died with their node, what they had cost by then is an estimate.
        expect(model.bill.calls * CENT).toBeLessThanOrEqual(DOLLAR + (RUNS / 2) * CENT);
      } else expect(model.bill.calls * CENT).toBe(end.spent);
      await database.close();
      await repository.remove();
    },
    LONG,
  );
});
