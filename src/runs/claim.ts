import { type SQL, sql } from "drizzle-orm";
import { type Queryable, rowsOf } from "../db/client.ts";
import { storedNow } from "../db/columns.ts";
import { runsPromptsWhere } from "../db/heartbeats.ts";
import { eachText } from "../db/text-list.ts";
import { isNextInSession, mayRunOn, offerAgain, offerToOthers } from "../lifecycle/dispatch.ts";
import { DETACHED } from "../lifecycle/end-run.ts";
import { runningOf } from "../lifecycle/repair-turns.ts";
import { type ClaimedRun, startRun } from "../lifecycle/start-run.ts";
import { QUEUES } from "../queue/names.ts";
import { dropMessage } from "../queue/outbox.ts";
import { clearPassed, firstTurns, hasRoom, makeDueReady, someAreDue } from "./turns-store.ts";

/** Serializes claims in the whole cluster, so that limits and fairness hold. An arbitrary number: "claim" in ASCII. */
const CLAIM_LOCK = 0x636c61696d;
/** After a lease has expired, machines other than the agent's own wait this much longer, milliseconds. */
const ELSEWHERE_GRACE_MS = 3_000;
const DELIVERING_GRACE_MS = 60_000;
/** So many users without a prompt that may start are passed by for an agent, for some microseconds each, before their rows are cleared. */
const MAX_PASSED = 16;

export interface Claimant {
  owner: string;
  /** The machine. An agent that still runs there is adopted. */
  host: string;
  /** How long the lease lasts without a heartbeat, milliseconds on the database's clock. */
  ttlMs: number;
  /** How many prompts may run at a time, in the whole cluster and per user. */
  maxRunning: number;
  maxRunningPerUser: number;
  /** Those that this process can run now. Default: only prompts that name none are claimed. */
  agents?: readonly string[];
  /** Which of them works on the prompts that name none. Default: that is not recorded. */
  defaultAgent?: string;
}

/** What a process knows of its own slots. */
interface InProcess {
  /** It has no other free slot: it is kept for users without a running prompt. */
  lastSlot?: boolean;
  /** How long the next prompt is held back for the machine that has its session warm, milliseconds; default 0: not. */
  affinityMs?: number;
  /** It is the only one of the cluster, so that the job of what it has started would wake nobody else. Default: it is not. */
  alone?: boolean;
}

/** Nothing may start yet: the next prompt is held back for another machine, for so long. */
export interface Held {
  heldMs: number;
}

/**
 * An abandoned run: its runner is dead or has detached, or it waits with its sandbox and its time has come. Only the agent's
 * own machine can adopt the agent, so other machines wait longer; and longer still during delivery, which they could only
 * report as interrupted. Beside it, whether users are due to be made ready.
 */
const abandoned = (host: string) => sql`select ${someAreDue} as due, old.id from (select) one left join (
  select p.id from prompt p
  where p.status = 'Running' and case
    when p.process is null or p.process ->> 'host' = ${host}
      then (p.lease_expires_at < now() or p.lease_owner = ${DETACHED})
        and (p.not_before is null or p.not_before <= ${storedNow})
    when (p.process ->> 'delivering')::boolean
      then p.lease_expires_at < now() - ${DELIVERING_GRACE_MS}::int * interval '1 millisecond'
    else p.lease_expires_at < now() - ${ELSEWHERE_GRACE_MS}::int * interval '1 millisecond' end
  order by p.lease_expires_at limit 1 for update skip locked) old on true`;

/** In `waiting`: whether the machine that has the session warm is alive. */
const warmHostRuns = () => runsPromptsWhere(sql`h.host = next.warm_host`);

/**
 * The next waiting prompt: of the user with the fewest running prompts, then of the user whose last start is the longest
 * ago; among that user's by priority, then by age. Users come in this order from an index range for each agent, one by one,
 * until one has a prompt for it that may start; the first user of all ranges is next, and the range of each agent of whom that
 * user has such a prompt has stopped there, too. Therefore, if that user has running prompts, so have all others who wait: the
 * last slot is then reserved, unless there are no others at all, which the two ends of an index tell.
 *
 * Prompts that wait for a later time, or for other agents, are in none of the index ranges that this reads; nor are their users.
 *
 * A prompt whose session is warm on another machine that is alive is held back for that one while it is younger than
 * `affinityMs`. It stays the next: whatever is behind it waits, too, so that affinity does not change the order. One whose
 * work is on another machine alone is for that one, as long as it is alive: nothing waits behind it.
 */
const waiting = (claimant: Claimant & InProcess) => {
  const { host, maxRunningPerUser, agents = [], lastSlot = false, affinityMs = 0 } = claimant;
  /** The first of some of the user's prompts for the agent that may start: what waits for others is in other ranges. */
  const first = (some: SQL) => sql`(
    select p.id, p.priority, p.created_at, p.seq, s.warm_host, greatest(p.dispatched_at, p.not_before) as since
    from prompt p join session s on s.id = p.session_id
    where p.user_id = turn.user_id and coalesce(p.agent, '') = own.agent and p.status = 'Queued' and ${some}
      and s.deleted_at is null and ${isNextInSession} and ${mayRunOn(host)}
    order by p.priority desc, p.created_at, p.seq limit 1)`;
  return sql`
  select next.id, bool_or(coalesce(next.user_id <> all (passed.users), cardinality(passed.users) = ${MAX_PASSED}::int))
      over () as far,
    ${lastSlot}::boolean and next.count > 0
      and (select min(user_id) from prompt) <> (select max(user_id) from prompt) as reserved,
    case when next.warm_host <> ${host} and ${affinityMs}::int > 0 and ${warmHostRuns()}
      then least(${affinityMs}::int, ceil(${affinityMs}::int - extract(epoch from now() - next.since) * 1000))::int
      else 0 end as "heldMs"
  from ${eachText(["", ...agents])} own (agent)
  cross join lateral (select array(${firstTurns(sql`own.agent`, MAX_PASSED)}) as users offset 0) passed
  left join lateral (
    select turn.*, p.* from (
      select user_id, running as count, started_at from agent_turn
      where agent = own.agent and due_at is null and ${hasRoom(claimant.maxRunning)}) turn
    cross join lateral (
      select * from (
        ${first(sql`p.not_before is null`)} union all ${first(sql`p.not_before <= ${storedNow}`)}) p
      where ${runningOf(sql`turn.user_id`)} < ${maxRunningPerUser}::int
      order by p.priority desc, p.created_at, p.seq limit 1) p
    order by turn.count, turn.started_at nulls first, turn.user_id limit 1) next on true
  order by next.id is null, next.count, next.started_at nulls first, next.user_id, next.priority desc, next.created_at,
    next.seq limit 1`;
};

/** Whether the limits let a prompt `p` start. */
const isWithinLimits = (claimant: Claimant) => sql`
  ${runningOf(sql`p.user_id`)} < ${claimant.maxRunningPerUser}::int and ${hasRoom(claimant.maxRunning)}`;

/**
 * Takes over an abandoned run, or starts the next prompt that may run.
 * @returns undefined if nothing may run now: nothing waits, or limits are reached; `reserved` if a prompt could run if this
 *   were not the last slot; `heldMs` while the next prompt is held back for another machine.
 */
export function claimNext(
  orm: Queryable,
  claimant: Claimant & InProcess & { lastSlot: boolean },
): Promise<ClaimedRun | "reserved" | Held | undefined>;
export function claimNext(
  orm: Queryable,
  claimant: Claimant & Pick<InProcess, "alone">,
): Promise<ClaimedRun | undefined>;
export async function claimNext(
  orm: Queryable,
  claimant: Claimant & InProcess,
): Promise<ClaimedRun | "reserved" | Held | undefined> {
  let { claimed, far, due } = await claimOnce(orm, claimant);
  if (due) {
    await makeDueReady(orm);
    ({ claimed, far } = await claimOnce(orm, claimant));
  }
  if (far) await clearPassed(orm, claimant);
  // If a limit held it back, the offer would be in vain, and the other machine's claim would offer in its turn, without end.
  if (claimed === undefined) await offerToOthers(orm, claimant.host, isWithinLimits(claimant));
  return claimed;
}

interface Attempt {
  claimed: ClaimedRun | "reserved" | Held | undefined;
  /** Many users were passed by for an agent because none of their prompts for it may start, or all. */
  far: boolean;
  /** Nothing was claimed, because users whose time has come have to be made ready first. */
  due?: boolean;
}

const claimOnce = (orm: Queryable, claimant: Claimant & InProcess): Promise<Attempt> =>
  orm.transaction(async (tx): Promise<Attempt> => {
    await tx.execute(sql`select pg_advisory_xact_lock(${CLAIM_LOCK}::bigint)`);
    const [old] = await rowsOf<{ id: string | null; due: boolean }>(tx, abandoned(claimant.host));
    if (old?.id) return { claimed: await startRun(tx, old.id, claimant), far: false };
    if (old?.due) return { claimed: undefined, far: false, due: true };
    const [found] = await rowsOf<{ id: string | null; far: boolean; reserved: boolean; heldMs: number }>(
      tx,
      waiting(claimant),
    );
    if (!found?.id) return { claimed: undefined, far: true };
    const { id, far } = found;
    if (found.heldMs > 0) {
      await offerAgain(tx, id);
      return { claimed: { heldMs: found.heldMs }, far };
    }
    if (found.reserved) return { claimed: "reserved", far };
    const claimed = await startRun(tx, id, claimant);
    if (claimant.alone) await dropMessage(tx, QUEUES.promptRun, id);
    return { claimed, far };
  });
