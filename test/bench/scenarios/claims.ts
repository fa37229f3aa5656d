import { sql } from "drizzle-orm";
import { migrate } from "../../../src/db/migrate.ts";
import { openPostgres } from "../../../src/db/postgres.ts";
import { createLogger } from "../../../src/observability/logger.ts";
import { claimNext } from "../../../src/runs/claim.ts";
import { createDeployment, startBackend } from "../../harness/backend.ts";
import { makeRepository } from "../../harness/repository.ts";
import { createDatabase } from "../../harness/services.ts";
import { until } from "../../harness/until.ts";
import { type Bench, type Figure, interleave, median, type Scenario } from "../scenario.ts";

const CLAIMANT = {
  owner: "bench",
  host: "here",
  ttlMs: 600_000,
  maxRunning: 100_000,
  maxRunningPerUser: 100_000,
};
const BACKLOG = 100_000;
const USERS = 1_000;
/** Claims of a sample. The run is undone after each, so that the next one finds the same. */
const CLAIMS = 50;

type Orm = Awaited<ReturnType<typeof openPostgres>>["orm"];

/** Sessions with a prompt each that waits, of so many users. */
async function fill(orm: Orm, prompts: number, users: number, repo = "owner/name"): Promise<void> {
  await orm.transaction(async (tx) => {
    await tx.execute(sql`insert into session (id, user_id, repo, target_branch, branch, title, prompt_seq)
      select gen_random_uuid(), 'user ' || n % ${users}::int, ${repo}, 'main', 'waiting/' || n, 't', 1
      from generate_series(1, ${prompts}::int) n`);
    // Nobody listens to these sessions.
    await tx.execute(sql`alter table prompt disable trigger prompt_inserted`);
    await tx.execute(sql`insert into prompt (id, session_id, user_id, seq, data)
      select gen_random_uuid(), id, user_id, 1, '"Do it."' from session where branch like 'waiting/%'`);
    await tx.execute(sql`alter table prompt enable trigger prompt_inserted`);
  });
  await orm.execute(sql`vacuum analyze prompt`);
  await orm.execute(sql`vacuum analyze session`);
  // Else the disk is still busy with these rows while it is measured.
  await orm.execute(sql`checkpoint`);
}

async function claims(bench: Bench): Promise<Figure> {
  const open = async (prompts: number, users: number) => {
    const { url, drop } = await createDatabase();
    const database = await openPostgres({ url, poolMax: 1, logger: createLogger({ level: "silent" }) });
    await migrate({ database, queue: false });
    await fill(database.orm, prompts, users);
    const undo = new Error("undo");
    const claim = async () => {
      let ms = Number.NaN;
      await database.orm
        .transaction(async (tx) => {
          const began = performance.now();
          const run = await claimNext(tx, CLAIMANT);
          // What waits for the commit belongs to the claim.
          await tx.execute(sql`set constraints all immediate`);
          ms = performance.now() - began;
          if (run === undefined) throw new Error("nothing was claimed");
          throw undo;
        })
        .catch((error) => {
          if (error !== undo) throw error;
        });
      return ms;
    };
    return {
      async sample() {
        const all: number[] = [];
        for (let n = 0; n < CLAIMS; n += 1) all.push(await claim());
        return median(all);
      },
      async close() {
        await database.close();
        await drop();
      },
    };
  };
  const [many, few] = [await open(BACKLOG, USERS), await open(10, 10)];
  try {
    const samples = await interleave(bench.rounds, { many: many.sample, few: few.sample });
    return {
      measure: `one claim with ${BACKLOG} queued of ${USERS} users`,
      unit: "ms",
      samples: samples.many,
      reference: { name: "with 10 queued", samples: samples.few },
      goal: { atMost: 2 },
    };
  } finally {
    await Promise.all([many.close(), few.close()]);
  }
}

/** Prompts of agents that do nothing, run to their end by the service. */
async function throughput(bench: Bench): Promise<Figure> {
  const repository = await makeRepository();
  const open = async (prompts: number) => {
    const deployment = await createDeployment("redis");
    const env = { AGENT: "command", AGENT_COMMAND: '["true"]', LOG_LEVEL: "error" };
    // It migrates; it shall not yet run anything when the prompts come.
    {
      await using _migrates = await startBackend(deployment, { env });
    }
    const url = deployment.env["DATABASE_URL"];
    if (url === undefined) throw new Error("no database");
    const database = await openPostgres({ url, poolMax: 2, logger: createLogger({ level: "silent" }) });
    await fill(database.orm, prompts, Math.min(USERS, prompts), repository.path);
    const ended = async () => {
      const rows = await database.orm.execute(
        sql`select count(*) as n from prompt where finished_at is not null`,
      );
      return Number((rows as unknown as { n: string }[])[0]?.n);
    };
    return {
      async sample() {
        await database.orm.execute(sql`update prompt set dispatched_at = now() - interval '1 minute' where id in (
          select id from prompt where status = 'Queued' order by dispatched_at limit 100)`);
        await using _backend = await startBackend(deployment, { env });
        const before = await ended();
        await until(async () => (await ended()) > before, { what: "the first end", timeoutMs: 60_000 });
        const [from, began] = [await ended(), performance.now()];
        await Bun.sleep(bench.seconds * 1_000);
        return ((await ended()) - from) / ((performance.now() - began) / 1_000);
      },
      /** As many wait as before, however many have run. */
      refill: async () =>
        void (await database.orm.execute(sql`update prompt set status = 'Queued', finished_at = null, attempt = 0
          where status = 'Completed'`)),
      async close() {
        await database.close();
        await deployment[Symbol.asyncDispose]();
      },
    };
  };
  const [many, few] = [await open(BACKLOG), await open(100)];
  const inTurn = (one: typeof many) => async () => {
    await one.refill();
    return one.sample();
  };
  try {
    const samples = await interleave(bench.rounds, { many: inTurn(many), few: inTurn(few) });
    return {
      measure: `prompts run to their end, agent \`true\`, ${BACKLOG} waiting`,
      unit: "prompts/s",
      samples: samples.many,
      reference: { name: "with 100 waiting", samples: samples.few },
      goal: { atLeast: 0.9 },
    };
  } finally {
    await Promise.all([many.close(), few.close()]);
    await repository.remove();
  }
}

export const scenario: Scenario = {
  name: "claims",
  about:
    "what the backlog costs: a claim, and prompts run to their end, against the same with hardly any backlog",
  async run(bench) {
    // What the harness makes databases and queues on.
    await bench.postgres();
    await bench.redis();
    process.env["TEST_BINARY"] = bench.binary;
    return [await claims(bench), await throughput(bench)];
  },
};
