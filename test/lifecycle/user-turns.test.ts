import { expect, test } from "bun:test";
import { and, eq, inArray, sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../../src/db/client.ts";
import { outbox } from "../../src/db/service-tables.ts";
import { prompt, session } from "../../src/db/tables.ts";
import { requestCancel } from "../../src/lifecycle/cancel.ts";
import { redispatchLost } from "../../src/lifecycle/dispatch.ts";
import { LeaseLost } from "../../src/lifecycle/fence.ts";
import { lockUnfinished } from "../../src/lifecycle/locks.ts";
import { dequeuePrompt } from "../../src/lifecycle/queue-prompt.ts";
import { revivePrompts } from "../../src/lifecycle/revive.ts";
import type { ClaimedRun } from "../../src/lifecycle/start-run.ts";
import { claimNext } from "../../src/runs/claim.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { COMPLETED, FAILURE, TTL_MS, writerOf } from "../harness/seed.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";

const USERS = ["alice", "bob", "carol"];
/** Of the claimants. Undefined: a prompt names none. */
const AGENTS = [undefined, "claude", "codex"];
const MAX_RUNNING = 7;
const MAX_RUNNING_PER_USER = 3;
const CLAIMANTS = 6;
const ROUNDS = 30;
const CLAIMANT = { host: "here", ttlMs: TTL_MS, maxRunning: 7, maxRunningPerUser: MAX_RUNNING_PER_USER };

/** Users whose rows say something else than their prompts, or are missing. */
const wrong = (orm: Orm) =>
  rowsOf(
    orm,
    sql`with counted as (
        select user_id, count(*) filter (where status = 'Running' and waiting_for is null) as running
        from prompt where status in ('Queued', 'Running') group by 1),
      able as (
        select user_id, coalesce(agent, '') as agent from prompt p
        where status = 'Queued' and (not_before is null or not_before <= now()) and not exists (
          select 1 from prompt o where o.session_id = p.session_id and o.status in ('Queued', 'Running')
            and (o.seq < p.seq or o.seq > p.seq and o.status = 'Running')))
      select user_id from counted c full join user_turn t using (user_id)
      where coalesce(c.running, 0) <> coalesce(t.running, 0) or c.user_id is not null and t.user_id is null
      union all select user_id from able left join agent_turn a using (user_id, agent)
      where not coalesce(a.due_at is null or a.due_at <= now(), false) or a.user_id is null
      union all select user_id from agent_turn a join user_turn t using (user_id)
      where (a.running, a.started_at) is distinct from (t.running, t.started_at)`,
  );

describeEachDatabase("the rows of users", (database) => {
  const submit = async (userId: string, sessionId?: string, agent?: string) => {
    const { orm } = database();
    const id = Bun.randomUUIDv7();
    const its = sessionId ?? Bun.randomUUIDv7();
    await orm.transaction(async (tx) => {
      if (sessionId === undefined)
        await tx
          .insert(session)
          .values({ id: its, userId, repo: "o/n", targetBranch: "main", branch: its, title: "t" });
      const [row] = await tx
        .update(session)
        .set({ promptSeq: sql`${session.promptSeq} + 1` })
        .where(eq(session.id, its))
        .returning({ seq: session.promptSeq });
      if (row) await tx.insert(prompt).values({ id, sessionId: its, userId, seq: row.seq, data: "x", agent });
    });
    return its;
  };

  test(
    "are what a recount gives after concurrent operations of all kinds, no limit is ever exceeded, and all prompts run",
    async () => {
      const { orm } = database();
      const pick = <One>(some: readonly One[]) => some[Math.floor(Math.random() * some.length)] as One;
      const sessions = await Promise.all(USERS.flatMap((user) => [submit(user), submit(user), submit(user)]));
      const owner = async (sessionId: string) =>
        (await orm.select({ userId: session.userId }).from(session).where(eq(session.id, sessionId)))[0]
          ?.userId;
      const waitOver = { delayMs: 30, failure: FAILURE };
      const end = (run: ClaimedRun) => {
        const writer = writerOf(orm, run);
        return pick([
          () => writer.finish(COMPLETED),
          () => writer.finish({ ...COMPLETED, status: "Failed", errorKind: "poison" }),
          () => writer.retry(waitOver),
          () => writer.postpone({ ...waitOver, waitingFor: "git_host", outage: null }),
          () => writer.handOver(),
        ])();
      };
      const client = async () => {
        for (let round = 0; round < ROUNDS; round += 1) {
          const id = pick(sessions);
          await pick([
            async () => void sessions.push(await submit(pick(USERS), undefined, pick(AGENTS))),
            async () =>
              void (await submit((await owner(id)) ?? "alice", (await owner(id)) && id, pick(AGENTS))),
            () =>
              orm.transaction(async (tx) => {
                await lockUnfinished(tx, id);
                await requestCancel(tx, { sessionId: id, by: "alice" });
              }),
            () =>
              orm.transaction(async (tx) => {
                await lockUnfinished(tx, id);
                const [one] = await tx
                  .select({ id: prompt.id })
                  .from(prompt)
                  .where(and(eq(prompt.sessionId, id), eq(prompt.status, "Queued")))
                  .limit(1);
                if (one) await dequeuePrompt(tx, { id: one.id, sessionId: id });
              }),
            async () => {
              const failed = await orm
                .select({ id: prompt.id })
                .from(prompt)
                .where(eq(prompt.status, "Failed"));
              await orm.transaction((tx) =>
                revivePrompts(
                  tx,
                  failed.slice(0, 3).map((one) => one.id),
                ),
              );
            },
            () =>
              orm.transaction(async (tx) => {
                await lockUnfinished(tx, id);
                await tx.delete(session).where(eq(session.id, id));
              }),
          ])();
        }
      };
      const over: unknown[] = [];
      let clientsDone = false;
      const claimant = async (owner: string, agents: string[]) => {
        for (;;) {
          const last = clientsDone;
          const run = await claimNext(orm, { ...CLAIMANT, owner, agents, defaultAgent: "claude" });
          // Whatever has been committed, at any time.
          over.push(
            ...(await wrong(orm)),
            ...(await rowsOf(
              orm,
              sql`select user_id from prompt where status = 'Running' and waiting_for is null
                group by grouping sets ((), (user_id))
                having count(*) > case when grouping(user_id) = 1 then ${MAX_RUNNING}::int else ${MAX_RUNNING_PER_USER}::int end`,
            )),
          );
          if (run) {
            const ended = last ? writerOf(orm, run).finish(COMPLETED) : end(run);
            await ended.catch((error) => {
              if (!(error instanceof LeaseLost)) throw error;
            });
          } else if (last && (await unfinished()) === 0) return;
        }
      };
      const unfinished = async () =>
        (
          await orm
            .select()
            .from(prompt)
            .where(inArray(prompt.status, ["Queued", "Running"]))
        ).length;
      const running = Array.from({ length: CLAIMANTS }, (_, n) =>
        claimant(`claimant ${n}`, n % 2 === 0 ? ["claude"] : ["claude", "codex"]),
      );
      await Promise.all([client(), client(), client()]).finally(() => {
        clientsDone = true;
      });
      await Promise.all(running);
      expect(over).toEqual([]);
      expect(await wrong(orm)).toEqual([]);
    },
    SLOW_TEST_TIMEOUT_MS,
  );

  test("a row that is wrong keeps no prompt from starting for ever", async () => {
    const { orm } = database();
    await orm.delete(session);
    for (const damage of [
      sql`delete from user_turn where user_id = 'erin'`,
      sql`delete from agent_turn where user_id = 'erin'`,
      sql`update agent_turn set due_at = now() + interval '1 hour' where user_id = 'erin'`,
      sql`with later as (update agent_turn set due_at = now() + interval '1 hour')
        update user_turn set running = 9 where user_id = 'erin'`,
    ]) {
      const sessionId = await submit("erin");
      await orm.execute(damage);
      const claim = () => claimNext(orm, { ...CLAIMANT, owner: "me" });
      expect(await claim()).toBeUndefined();
      await orm.update(prompt).set({ dispatchedAt: sql`now() - interval '1 minute'` });
      expect(await redispatchLost(orm, 30_000)).toBe(1);
      expect(await wrong(orm)).toEqual([]);
      expect(await claim()).toMatchObject({ sessionId });
      await orm.delete(session);
    }
    const [, second] = [await submit("erin"), await submit("erin")];
    await claimNext(orm, { ...CLAIMANT, owner: "me" });
    for (const damage of [
      sql`update user_turn set running = running + 5`,
      sql`update agent_turn set running = running + 5`,
      sql`update agent_turn set started_at = now() - interval '1 day'`,
    ]) {
      await orm.execute(damage);
      expect(await wrong(orm)).not.toEqual([]);
      await orm.delete(outbox);
      await orm
        .update(prompt)
        .set({ dispatchedAt: sql`now() - interval '1 minute'` })
        .where(eq(prompt.sessionId, second));
      expect(await redispatchLost(orm, 30_000)).toBe(1);
      expect(await wrong(orm)).toEqual([]);
    }
    await orm.delete(session);
    expect(await wrong(orm)).toEqual([]);
  });

  test("have the agent of a session's next prompt as soon as the one before it has ended", async () => {
    const { orm } = database();
    const sessionId = await submit("erin", undefined, "claude");
    await submit("erin", sessionId, "codex");
    const claim = (agent: string) => claimNext(orm, { ...CLAIMANT, owner: "me", agents: [agent] });
    const run = await claim("claude");
    expect(await claim("codex")).toBeUndefined();
    expect(await rowsOf(orm, sql`select agent from agent_turn`)).toEqual([]);
    if (run) await writerOf(orm, run).finish(COMPLETED);
    expect(await claim("codex")).toMatchObject({ sessionId, agent: "codex" });
    await orm.delete(session);
  });

  test("of users without an unfinished prompt are deleted by claims that find nothing", async () => {
    const { orm } = database();
    await submit("erin");
    await submit("frank", undefined, "codex");
    const claim = () => claimNext(orm, { ...CLAIMANT, owner: "me", agents: ["codex"] });
    for (let run = await claim(); run; run = await claim()) await writerOf(orm, run).finish(COMPLETED);
    // For an agent that no worker has.
    await submit("grace", undefined, "gone");
    await orm.delete(session);
    expect(await rowsOf(orm, sql`select agent from agent_turn`)).toContainEqual({ agent: "gone" });
    expect(await claim()).toBeUndefined();
    expect(await rowsOf(orm, sql`select * from user_turn`)).toEqual([]);
    expect(await rowsOf(orm, sql`select * from agent_turn`)).toEqual([]);
  });

  // Workers are restarted one by one after a migration.
  test("serve workers from before there were rows for each agent, and what those clear", async () => {
    const { orm } = database();
    const ready = () => rowsOf(orm, sql`select user_id from user_turn where ready`);
    const cleared = sql`update user_turn set ready = false, due_at = null`;
    const claim = () => claimNext(orm, { ...CLAIMANT, owner: "me" });
    const first = await submit("erin");
    await orm.execute(cleared);
    const second = await submit("erin");
    expect(await ready()).toEqual([{ user_id: "erin" }]);
    await orm.execute(cleared);
    const run = await claim();
    expect(run).toMatchObject({ sessionId: first });
    expect(await ready()).toEqual([{ user_id: "erin" }]);
    if (run) await writerOf(orm, run).finish(COMPLETED);
    await orm.execute(sql`delete from prompt where status = 'Queued'`);
    await orm.execute(sql`delete from user_turn`);
    await submit("erin", second);
    expect(await ready()).toEqual([{ user_id: "erin" }]);
    expect(await claim()).toMatchObject({ sessionId: second });
    expect(await wrong(orm)).toEqual([]);
    await orm.delete(session);
  });

  test("measured as it should be: a row that is wrong is seen", async () => {
    await submit("dave");
    expect(await wrong(database().orm)).toEqual([]);
    await database().orm.execute(sql`update agent_turn set due_at = now() + interval '1 hour'`);
    expect(await wrong(database().orm)).toHaveLength(1);
    await database().orm.execute(sql`update agent_turn set due_at = null`);
    await database().orm.execute(sql`update user_turn set running = 1 where user_id = 'dave'`);
    expect(await wrong(database().orm)).toHaveLength(1);
  });
});
