import { eq, sql } from "drizzle-orm";
import { recordAudit } from "../db/audit-log.ts";
import { type Orm, type Queryable, rowsOf } from "../db/client.ts";
import { egressRequest } from "../db/safety-tables.ts";
import type { EgressRow } from "../egress/records.ts";
import { type Fence, LeaseLost, lockedLease } from "../lifecycle/fence.ts";

/** What a run has asked for so far, in the order in which it first did. */
export const readEgress = (orm: Orm, run: Fence): Promise<EgressRow[]> =>
  orm
    .select({
      host: egressRequest.host,
      port: egressRequest.port,
      decision: egressRequest.decision,
      rule: egressRequest.rule,
      count: egressRequest.count,
      firstAt: egressRequest.firstAt,
      lastAt: egressRequest.lastAt,
    })
    .from(egressRequest)
    .where(eq(egressRequest.promptId, run.promptId))
    .orderBy(egressRequest.id);

/** Inserts these rows, or replaces their counts: only this run writes them under its epoch. @throws LeaseLost */
export async function upsertEgress(orm: Queryable, run: Fence, rows: readonly EgressRow[]): Promise<void> {
  const values = rows.map((row) => ({ ...row, id: Bun.randomUUIDv7() }));
  type Fresh = { host: string | null; port: number; decision: EgressRow["decision"]; rule: string };
  const held = await rowsOf<Fresh>(
    orm,
    sql`with lease as (${lockedLease(run)}),
    stored as (
      insert into egress_request
        (id, session_id, prompt_id, host, port, decision, rule, count, first_at, last_at)
      select (e ->> 'id')::uuid, lease.session_id, ${run.promptId}::uuid, e ->> 'host', (e ->> 'port')::int,
        e ->> 'decision', e ->> 'rule', (e ->> 'count')::bigint, (e ->> 'firstAt')::timestamptz,
        (e ->> 'lastAt')::timestamptz
      from lease, jsonb_array_elements(${JSON.stringify(values)}::jsonb) e
      on conflict (prompt_id, host, port, decision)
      do update set count = excluded.count, last_at = excluded.last_at, rule = excluded.rule
      returning host, port, decision, rule, xmax = 0 as fresh)
    select session_id, host, port, decision, rule from lease left join stored on fresh`,
  );
  if (held.length === 0) throw new LeaseLost();
  const fresh = held.filter((row) => row.host !== null);
  await recordAudit(
    orm,
    ...fresh.map(({ host, port, decision, rule }) => ({
      actor: "gateway",
      action: decision === "allowed" ? ("egress.allow" as const) : ("egress.refuse" as const),
      target: `host:${host}:${port}`,
      detail: { prompt: run.promptId, rule },
    })),
  );
}
