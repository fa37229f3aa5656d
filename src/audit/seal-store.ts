import { asc, desc, gt, sql } from "drizzle-orm";
import { recordAudit } from "../db/audit-log.ts";
import { type Orm, type Queryable, rowsOf, type Transaction } from "../db/client.ts";
import { auditAnchor, auditEvent, auditPending } from "../db/safety-tables.ts";
import { hashOf, type Link, ORIGIN, problemOf } from "./chain.ts";

/** One process at a time lengthens or shortens the chain. An arbitrary number: "audit" in ASCII. */
const LOCK = 0x6175646974;
/** Entries of one statement, some milliseconds. */
const BATCH = 1_000;

/**
 * Moves up to 1,000 pending entries into the chain. Their order is that of sealing: an entry whose transaction ends late
 * follows those that were sealed meanwhile, and the chain never waits for it.
 * @returns the new end of the chain, and whether more entries wait; undefined: there was nothing to do.
 */
export async function sealAudit(orm: Orm): Promise<{ head: Link; more: boolean } | undefined> {
  const [some] = await orm.select({ id: auditPending.id }).from(auditPending).limit(1);
  if (!some) return undefined;
  return orm.transaction(async (tx) => {
    await lockChain(tx);
    const rows = await tx.select().from(auditPending).orderBy(asc(auditPending.id)).limit(BATCH);
    let head = await headOf(tx);
    const sealed = rows.map(({ id, ...row }) => {
      const seq = head.seq + 1;
      head = { seq, hash: hashOf(head.hash, { seq, ...row }) };
      return { id, ...head };
    });
    if (sealed.length > 0)
      await tx.execute(sql`
        with sealed as (select * from jsonb_to_recordset(${JSON.stringify(sealed)}::jsonb) as s (id bigint, seq bigint, hash text)),
        moved as (delete from audit_pending p using sealed s where p.id = s.id
          returning s.seq, p.at, p.actor, p.action, p.target, p.detail, s.hash)
        insert into audit_event (seq, at, actor, action, target, detail, hash) select * from moved`);
    return { head, more: rows.length === BATCH };
  });
}

/** Result of a verification: how many entries were read up to which, or what is wrong with the first bad one. */
export interface Verification {
  entries: number;
  head: Link;
  problem: string | undefined;
}

/**
 * Recomputes the chain, in pages: finds entries that were changed, added between others, or removed, at the beginning by
 * other means than a purge. That the last entries were removed can be seen only by comparing the head with one that was
 * noted elsewhere, such as the log.
 * @param newest verify only that many entries at the end. Default: all.
 */
export function verifyAudit(orm: Orm, newest?: number): Promise<Verification> {
  // Of one moment: a purge meanwhile would look like a theft.
  return orm.transaction((tx) => verify(tx, newest), {
    isolationLevel: "repeatable read",
    accessMode: "read only",
  });
}

async function verify(orm: Transaction, newest: number | undefined): Promise<Verification> {
  let link = newest === undefined ? undefined : await linkBefore(orm, newest);
  if (!link) {
    link = await anchorOf(orm);
    if (!(await isFromPurge(orm, link)))
      return { entries: 0, head: link, problem: `the anchor at entry ${link.seq} is not from a purge` };
  }
  for (let entries = 0; ; ) {
    const page = await orm
      .select()
      .from(auditEvent)
      .where(gt(auditEvent.seq, link.seq))
      .orderBy(asc(auditEvent.seq))
      .limit(BATCH);
    for (const entry of page) {
      const problem = problemOf(link, entry);
      if (problem !== undefined) return { entries, head: link, problem };
      link = { seq: entry.seq, hash: entry.hash };
      entries += 1;
    }
    if (page.length < BATCH) return { entries, head: link, problem: undefined };
  }
}

/**
 * Purges a batch of entries from the beginning of the chain that are older than `days` days, and leaves an anchor from which
 * the rest can be verified. Whole days, so that there are few anchors.
 * @returns how many; fewer than `limit` when no more are left.
 */
export function purgeAudit(orm: Orm, days: number, limit: number): Promise<number> {
  return orm.transaction(async (tx) => {
    await lockChain(tx);
    const old = sql<boolean>`${auditEvent.at} < date_trunc('day', now()) - make_interval(days => ${days}::int)`;
    const rows = await tx
      .select({ seq: auditEvent.seq, hash: auditEvent.hash, old })
      .from(auditEvent)
      .orderBy(asc(auditEvent.seq))
      .limit(limit);
    const young = rows.findIndex((row) => !row.old);
    const doomed = young < 0 ? rows : rows.slice(0, young);
    const last = doomed.at(-1);
    if (!last) return 0;
    await tx.insert(auditAnchor).values({ seq: last.seq, hash: last.hash });
    await tx.delete(auditEvent).where(sql`${auditEvent.seq} <= ${last.seq}`);
    await recordAudit(tx, {
      actor: "retention",
      action: "audit.purge",
      target: `audit:${last.seq}`,
      detail: { entries: doomed.length, hash: last.hash },
    });
    return doomed.length;
  });
}

async function lockChain(tx: Transaction): Promise<void> {
  await tx.execute(sql`select pg_advisory_xact_lock(${LOCK}::bigint)`);
}

const headOf = async (orm: Queryable): Promise<Link> =>
  (await newestIn(orm, auditEvent)) ?? (await anchorOf(orm));

const anchorOf = async (orm: Queryable): Promise<Link> => (await newestIn(orm, auditAnchor)) ?? ORIGIN;

async function newestIn(
  orm: Queryable,
  table: typeof auditEvent | typeof auditAnchor,
): Promise<Link | undefined> {
  const { seq, hash } = table;
  const [last] = await orm.select({ seq, hash }).from(table).orderBy(desc(seq)).limit(1);
  return last;
}

/**
 * Whether a purge made this anchor: its own entry, which is younger than what it removed, says so, and nothing is left of
 * what it removed. Whoever forges that entry, too, has written the theft into the log.
 */
async function isFromPurge(orm: Queryable, { seq, hash }: Link): Promise<boolean> {
  if (seq === ORIGIN.seq) return true;
  const [found] = await rowsOf<{ ok: boolean }>(
    orm,
    sql`select not exists (select 1 from audit_event where seq <= ${seq}::bigint) and exists (
      select 1 from (select action, target, detail from audit_event union all
        select action, target, detail from audit_pending) e
      where action = 'audit.purge' and target = ${`audit:${seq}`} and detail ->> 'hash' = ${hash}) as ok`,
  );
  return found?.ok === true;
}

/** The entry that precedes the newest ones; undefined if there are not as many. */
async function linkBefore(orm: Queryable, newest: number): Promise<Link | undefined> {
  const head = await headOf(orm);
  const [before] = await orm
    .select({ seq: auditEvent.seq, hash: auditEvent.hash })
    .from(auditEvent)
    .where(sql`${auditEvent.seq} = ${head.seq - newest}`);
  return before;
}
