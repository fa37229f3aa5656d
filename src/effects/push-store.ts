import { sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../db/client.ts";
import type { EffectRequest, EffectResult } from "../db/json-columns.ts";
import { type Fence, LeaseLost, lockedLease } from "../lifecycle/fence.ts";

/**
 * Records, before a push, what is about to be on the session's branch; a push that is repeated is the same effect.
 * @param push.replaces what the branch has, which the commit does not contain: the session's until the push is settled.
 * @param push.first it is not the session's branch, but the target branch of a repository that was empty.
 * @throws LeaseLost
 */
export async function recordPush(
  orm: Orm,
  run: Fence,
  push: { commit: string; target: string; replaces?: string | undefined; first?: boolean },
): Promise<void> {
  const { commit, target, replaces, first = false } = push;
  const request: EffectRequest = { commit };
  const rows = await rowsOf(
    orm,
    sql`with lease as (${lockedLease(run)}),
    pushing as (update session s set pushed_commit = ${first ? sql`s.pushed_commit` : (replaces ?? commit)}, updated_at = now()
      from lease where s.id = lease.session_id returning s.id)
    insert into effect (id, session_id, kind, target, key, status, request, attempts, prompt_id, lease_epoch)
    select ${Bun.randomUUIDv7()}::uuid, pushing.id, 'push', ${target}, ${commit}, 'uncertain',
      ${JSON.stringify(request)}::jsonb, 1, ${run.promptId}::uuid, ${run.epoch}::bigint from pushing
    on conflict (session_id, kind, key, target) do update set status = 'uncertain', result = null,
      attempts = effect.attempts + 1, prompt_id = excluded.prompt_id, lease_epoch = excluded.lease_epoch,
      updated_at = now()
    returning id`,
  );
  if (rows.length === 0) throw new LeaseLost();
}

/**
 * Records what became of a push, as its answer or a look at the branch told. One that is on the branch stays done, whatever
 * becomes of the branch later.
 * @param push.failure why it is not on the branch; undefined: it is.
 * @param push.first as of recordPush.
 * @returns whether that was not known before.
 * @throws LeaseLost
 */
export async function settlePush(
  orm: Orm,
  run: Fence,
  { commit, failure, first = false }: { commit: string; failure: string | undefined; first?: boolean },
): Promise<boolean> {
  const lease = sql`with lease as (${lockedLease(run)})`;
  const own = sql`e.session_id = lease.session_id and e.kind = 'push' and e.key = ${commit}`;
  const settled =
    failure === undefined
      ? sql`update effect e set status = 'done', result = null, updated_at = now() from lease
          where ${own} and e.status <> 'done' returning 1`
      : sql`update effect e set status = 'failed', result = ${resultOf(failure)}, updated_at = now() from lease
          where ${own} and e.status = 'uncertain' returning 1`;
  // It was another where this push replaces what the branch had.
  const pushed = sql`update session s set pushed_commit = ${commit}, updated_at = now() from lease
      where s.id = lease.session_id and s.pushed_commit <> ${commit} and ${failure === undefined && !first} returning 1`;
  const [row] = await rowsOf<{ changed: boolean }>(
    orm,
    sql`${lease}, settled as (${settled}), pushed as (${pushed}) select exists (select from settled) as changed from lease`,
  );
  if (!row) throw new LeaseLost();
  return row.changed;
}

/** Records that a push was not made because the branch is not the session's. @throws LeaseLost */
export async function disownPush(
  orm: Orm,
  run: Fence,
  { commit, failure }: { commit: string; failure: string },
): Promise<void> {
  const rows = await rowsOf(
    orm,
    sql`with lease as (${lockedLease(run)}),
    settled as (update effect e set status = 'failed', result = ${resultOf(failure)}, updated_at = now() from lease
      where e.session_id = lease.session_id and e.kind = 'push' and e.key = ${commit} and e.status = 'uncertain')
    update session s set pushed_commit = null, updated_at = now()
    from lease where s.id = lease.session_id returning s.id`,
  );
  if (rows.length === 0) throw new LeaseLost();
}

const resultOf = (reason: string) => sql`${JSON.stringify({ reason } satisfies EffectResult)}::jsonb`;
