import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type SQL, sql } from "drizzle-orm";
import { rowsOf, type Transaction } from "../../src/db/client.ts";
import { eachText } from "../../src/db/text-list.ts";
import { redispatchLost } from "../../src/lifecycle/dispatch.ts";
import { claimNext } from "../../src/runs/claim.ts";
import { describeOnPostgres } from "../harness/databases.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";

const BACKLOG = 100_000;
/** Those of them that may start now. */
const DUE = 20;
const CLAIMANT = { owner: "me", host: "here", ttlMs: 60_000, maxRunning: 1_000, maxRunningPerUser: 100 };

// A long outage of a git host. Claims and the look for prompts without a job are made once a second, or more often.
describeOnPostgres(`with ${BACKLOG} prompts that wait`, (database) => {
  setDefaultTimeout(SLOW_TEST_TIMEOUT_MS);
  beforeAll(async () => {
    const { orm } = database();
    const waiting = { for: "git_host", reason: "It is away.", since: new Date(), until: new Date() };
    await orm.execute(sql`insert into session (id, user_id, repo, target_branch, branch, title, prompt_seq, waiting)
      select gen_random_uuid(), 'user ' || n % 50, 'r', 'main', 'b' || n, 't', 1,
        case when n > ${DUE}::int then ${JSON.stringify(waiting)}::text::jsonb end
      from generate_series(1, ${BACKLOG}::int) n`);
    // Each would tell the streams of its session, which nobody reads.
    await orm.execute(sql`alter table prompt disable trigger prompt_inserted`);
    await orm.execute(sql`insert into prompt (id, session_id, user_id, seq, data, dispatched_at, not_before)
      select gen_random_uuid(), s.id, s.user_id, 1, '"x"', now() - interval '1 hour',
        case when s.waiting is null then now() - interval '1 hour' else now() + interval '5 minutes' end
      from session s`);
    await orm.execute(sql`alter table prompt enable trigger prompt_inserted`);
    await orm.execute(sql`analyze`);
  }, SLOW_TEST_TIMEOUT_MS);

  /** What this work reads of the prompts, or of these tables, after what is done before it; nothing of both stays. */
  const readsOf = async (
    work: (tx: Transaction) => Promise<unknown>,
    first: (tx: Transaction) => Promise<unknown> = async () => undefined,
    tables = ["prompt"],
  ) => {
    const undo = new Error("undo");
    const read = async (tx: Transaction) => {
      const [row] = await rowsOf<{ scans: string; rows: string }>(
        tx,
        sql`select sum(seq_scan) as scans, sum(seq_tup_read + idx_tup_fetch) as rows
          from pg_stat_xact_user_tables where relname = any(array${eachText(tables)})`,
      );
      return { scans: Number(row?.scans), rows: Number(row?.rows) };
    };
    let reads = { scans: Number.NaN, rows: Number.NaN };
    const done = database().orm.transaction(async (tx) => {
      await first(tx);
      const before = await read(tx);
      await work(tx);
      const after = await read(tx);
      reads = { scans: after.scans - before.scans, rows: after.rows - before.rows };
      throw undo;
    });
    expect(await done.catch((error: unknown) => error)).toBe(undo);
    return reads;
  };

  test("measured as it should be: a scan is seen", async () => {
    const all = await readsOf((tx) => tx.execute(sql`select count(data) from prompt`));
    expect(all.scans).toBeGreaterThan(0);
    expect(all.rows).toBeGreaterThanOrEqual(BACKLOG);
  });

  test("a claim reads those that may start, and none of the others", async () => {
    const one = { ...CLAIMANT, lastSlot: true, affinityMs: 1_000 };
    const claimed = await readsOf(async (tx) =>
      expect(await claimNext(tx, one)).toMatchObject({ promptId: expect.any(String) }),
    );
    expect(claimed.scans).toBe(0);
    expect(claimed.rows).toBeLessThan(DUE * 10);
  });

  // Of the same users, more urgent and older.
  const forAnotherAgent = async (tx: Transaction, notBefore = sql`null`) => {
    // As the trigger, which is fired by a commit.
    await tx.execute(
      sql`insert into agent_turn (user_id, agent, running) select user_id, 'codex', 0 from user_turn`,
    );
    await tx.execute(sql`update prompt set agent = 'codex', not_before = ${notBefore}, priority = 5 where id in (
      select id from prompt where not_before > now() limit 10000)`);
  };

  test("a claim reads none of 10,000 that are for the agents of other machines", async () => {
    const one = { ...CLAIMANT, agents: ["claude", "demo"], defaultAgent: "demo" };
    const claimed = await readsOf(
      async (tx) => expect(await claimNext(tx, one)).toMatchObject({ agent: "demo" }),
      forAnotherAgent,
    );
    expect(claimed.scans).toBe(0);
    expect(claimed.rows).toBeLessThan(DUE * 10);
  });

  test("nor of as many of theirs whose time has come", async () => {
    const one = { ...CLAIMANT, agents: ["claude", "demo"], defaultAgent: "demo" };
    const claimed = await readsOf(
      async (tx) => expect(await claimNext(tx, one)).toMatchObject({ agent: "demo" }),
      (tx) => forAnotherAgent(tx, sql`now() - interval '1 minute'`),
    );
    expect(claimed.scans).toBe(0);
    expect(claimed.rows).toBeLessThan(DUE * 10);
  });

  test("nor when there are no others, and their users stay ready", async () => {
    const one = { ...CLAIMANT, agents: ["claude", "demo"], defaultAgent: "demo" };
    const claimed = await readsOf(
      async (tx) => {
        expect(await claimNext(tx, one)).toBeUndefined();
        expect(await claimNext(tx, { ...one, agents: ["codex"] })).toMatchObject({ agent: "codex" });
      },
      async (tx) => {
        await forAnotherAgent(tx);
        await tx.execute(sql`update prompt set agent = 'codex' where not_before < now()`);
      },
    );
    expect(claimed.scans).toBe(0);
    expect(claimed.rows).toBeLessThan(DUE * 20);
  });

  /** Adds many users, and lets PostgreSQL know, as its autovacuum does. */
  const addUsers = async (tx: Transaction, ...statements: SQL[]) => {
    // Or the triggers and checks of each row would go on with plans for a table of few rows.
    await tx.execute(sql`discard plans`);
    await tx.execute(sql`set local enable_seqscan = off`);
    await tx.execute(sql`alter table prompt disable trigger prompt_inserted`);
    for (const statement of statements) await tx.execute(statement);
    await tx.execute(sql`set local enable_seqscan = on`);
    await tx.execute(sql`analyze agent_turn`);
  };

  test("a claim finds the next of many users in an index", async () => {
    const read = await readsOf(
      async (tx) => expect(await claimNext(tx, CLAIMANT)).toMatchObject({ promptId: expect.any(String) }),
      (tx) =>
        addUsers(
          tx,
          sql`insert into user_turn (user_id, running) select 'busy ' || n, 1 + n % 9 from generate_series(1, 20000) n`,
          sql`insert into agent_turn (user_id, agent, running) select user_id, '', running from user_turn
            where running > 0`,
        ),
      ["prompt", "agent_turn"],
    );
    expect(read.scans).toBe(0);
    expect(read.rows).toBeLessThan(DUE * 10);
  });

  // It passed them by, one by one, under the lock of all claims: 270 ms.
  for (const [what, perUser] of [
    ["only wait for the agents of other machines", 1],
    ["wait for those, and for one of this machine at a later time", 2],
  ] as const)
    test(`a claim reads none of 10,000 users who are first and ${what}`, async () => {
      const one = { ...CLAIMANT, agents: ["claude", "demo"], defaultAgent: "demo" };
      const read = await readsOf(
        async (tx) => expect(await claimNext(tx, one)).toMatchObject({ agent: "demo" }),
        (tx) =>
          addUsers(
            tx,
            sql`update user_turn set started_at = now()`,
            sql`with own as (
                insert into session (id, user_id, repo, target_branch, branch, title, prompt_seq)
                select gen_random_uuid(), 'first ' || n, 'r', 'main', agent || n, agent, 1
                from generate_series(1, 10000) n,
                  (select * from (values ('codex'), ('claude')) a (agent) limit ${perUser}::int) a
                returning id, user_id, title)
              insert into prompt (id, session_id, user_id, seq, data, agent, not_before)
              select gen_random_uuid(), id, user_id, 1, '"x"', title,
                case title when 'claude' then now() + interval '1 hour' end from own`,
            // As claims leave those that they have passed by.
            sql`update agent_turn set due_at = now() + interval '1 hour' where agent = 'claude'`,
          ),
        ["prompt", "agent_turn"],
      );
      expect(read.scans).toBe(0);
      expect(read.rows).toBeLessThan(DUE * 10);
    });

  test("a claim when none may start reads hardly anything of them", async () => {
    const claimed = await readsOf(
      async (tx) => expect(await claimNext(tx, CLAIMANT)).toBeUndefined(),
      (tx) =>
        tx.execute(sql`update prompt set not_before = now() + interval '1 hour' where not_before < now()`),
    );
    expect(claimed.scans).toBe(0);
    // Those that could have started, and a few of each of the users that it then marks as not ready.
    expect(claimed.rows).toBeLessThan(DUE * 5);
  });

  // It read all that wait, for as long as the interval of the session-poller that repeats it, or longer.
  test("the look for prompts without a job reads those that may start, and none of the others", async () => {
    const found = await readsOf(async (tx) => expect(await redispatchLost(tx, 30_000)).toBe(DUE));
    expect(found.scans).toBe(0);
    expect(found.rows).toBeLessThan(DUE * 10);
  });
});
