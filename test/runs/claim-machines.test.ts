import { afterAll, beforeAll, expect, test } from "bun:test";
import { sql } from "drizzle-orm";
import { type Database, rowsOf } from "../../src/db/client.ts";
import { migrate } from "../../src/db/migrate.ts";
import { openPostgres } from "../../src/db/postgres.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { claimNext } from "../../src/runs/claim.ts";
import { COMPLETED, TTL_MS, writerOf } from "../harness/seed.ts";
import { createDatabase, describeWith } from "../harness/services.ts";

const MACHINES = 3;
/** Claims at a time of each machine. */
const CLAIMANTS = 4;
const USERS = 5;
const PROMPTS = 150;
const LIMITS = { maxRunning: 7, maxRunningPerUser: 2 };

describeWith("postgres", `${MACHINES} machines with connections of their own`, () => {
  const machines: Database[] = [];
  let drop: () => Promise<void>;
  beforeAll(async () => {
    const created = await createDatabase();
    drop = created.drop;
    for (let n = 0; n < MACHINES; n += 1)
      machines.push(
        await openPostgres({
          url: created.url,
          poolMax: CLAIMANTS,
          logger: createLogger({ level: "silent" }),
        }),
      );
    const [{ orm }] = machines as [Database];
    await migrate({ database: machines[0] as Database, queue: false });
    await orm.execute(sql`insert into session (id, user_id, repo, target_branch, branch, title, prompt_seq)
      select gen_random_uuid(), 'user ' || n % ${USERS}::int, 'o/n', 'main', 'b' || n, 't', 1
      from generate_series(1, ${PROMPTS}::int) n`);
    await orm.execute(sql`insert into prompt (id, session_id, user_id, seq, data)
      select gen_random_uuid(), id, user_id, 1, '"x"' from session`);
  });
  afterAll(async () => {
    for (const machine of machines) await machine.close();
    await drop?.();
  });

  const claimOn = (machine: number) =>
    claimNext((machines[machine] as Database).orm, {
      owner: `machine ${machine}`,
      host: "here",
      ttlMs: TTL_MS,
      ...LIMITS,
    });
  const everywhere = <Value>(work: (machine: number) => Promise<Value>) =>
    Promise.all(Array.from({ length: MACHINES * CLAIMANTS }, (_, n) => work(n % MACHINES)));

  test("start as many prompts at once as the limits allow, and not one more", async () => {
    const runs = (await everywhere(claimOn)).filter((run) => run !== undefined);
    expect(runs).toHaveLength(LIMITS.maxRunning);
    const [{ orm }] = machines as [Database];
    const most = await rowsOf<{ n: number }>(
      orm,
      sql`select count(*)::int as n from prompt where status = 'Running' group by user_id order by 1 desc`,
    );
    // In turns: nobody has a second one before all have one.
    expect(most.map(({ n }) => n)).toEqual([2, 2, 1, 1, 1]);
    for (const run of runs) await writerOf(orm, run).finish(COMPLETED);
  });

  test("run all prompts, each once, and never exceed a limit", async () => {
    const [{ orm }] = machines as [Database];
    const over: unknown[] = [];
    const started: string[] = [];
    const left = async () => (await rowsOf(orm, sql`select 1 from prompt where status = 'Queued'`)).length;
    await everywhere(async (machine) => {
      const { orm: own } = machines[machine] as Database;
      for (;;) {
        const run = await claimOn(machine);
        over.push(
          ...(await rowsOf(
            own,
            sql`select user_id, count(*) from prompt where status = 'Running'
              group by grouping sets ((), (user_id)) having count(*) >
                case when grouping(user_id) = 1 then ${LIMITS.maxRunning}::int else ${LIMITS.maxRunningPerUser}::int end`,
          )),
        );
        if (run) {
          started.push(run.promptId);
          await writerOf(own, run).finish(COMPLETED);
        } else if ((await left()) === 0) return;
      }
    });
    expect(over).toEqual([]);
    expect(new Set(started).size).toBe(started.length);
    expect(started).toHaveLength(PROMPTS - LIMITS.maxRunning);
    const wrong = await rowsOf(orm, sql`select * from user_turn where running <> 0`);
    expect(wrong).toEqual([]);
  });
});
