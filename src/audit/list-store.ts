import { and, asc, desc, eq, gt, lt, type SQL, sql } from "drizzle-orm";
import { decodeSeq, type Page, pageOf } from "../api/paging.ts";
import type { Orm } from "../db/client.ts";
import { auditEvent } from "../db/safety-tables.ts";
import type { SealedEntry } from "./chain.ts";

/** The filters of a reading. */
export interface AuditQuery {
  /** Not before this time. */
  from?: string | undefined;
  /** Before this time. */
  to?: string | undefined;
  actor?: string | undefined;
  action?: string | undefined;
}

/** Entries of one page of an export. */
const EXPORT_PAGE = 500;

/**
 * How far the log may be from the order of its times. An entry is sealed once its transaction has ended, which takes seconds; but
 * the database's clock may be set back, by hours where somebody mistook the time zone.
 */
const DISORDER = sql.raw("interval '1 day'");
const time = (text: string) => sql`${new Date(text).toISOString()}::timestamptz`;

/**
 * Times also bound the numbers: a reading of long ago would otherwise begin with all entries since. Within them pages are
 * walked by number, whatever the planner knows of times: `coalesce` hides those from it. By an index of times, which has no
 * order of numbers, each page would read all that follow.
 */
const since = (from: string) =>
  sql`coalesce(${auditEvent.at} >= ${time(from)}, false) and ${auditEvent.seq} > coalesce((select e.seq from audit_event e
    where e.at < ${time(from)} - ${DISORDER} order by e.at desc limit 1), 0)`;
const until = (to: string) =>
  sql`coalesce(${auditEvent.at} < ${time(to)}, false) and ${auditEvent.seq} < coalesce((select e.seq from audit_event e
    where e.at > ${time(to)} + ${DISORDER} order by e.at limit 1), 9223372036854775807)`;

const matching = ({ from, to, actor, action }: AuditQuery): SQL | undefined =>
  and(
    from === undefined ? undefined : since(from),
    to === undefined ? undefined : until(to),
    actor === undefined ? undefined : eq(auditEvent.actor, actor),
    action === undefined ? undefined : eq(auditEvent.action, action),
  );

/** Sealed entries, newest first. @throws AppError `invalid_cursor` */
export async function listAudit(
  orm: Orm,
  query: AuditQuery & { limit: number; cursor?: string | undefined },
): Promise<Page<SealedEntry>> {
  const { limit, cursor } = query;
  const before = cursor === undefined ? undefined : lt(auditEvent.seq, decodeSeq(cursor));
  const rows = await orm
    .select()
    .from(auditEvent)
    .where(and(matching(query), before))
    .orderBy(desc(auditEvent.seq))
    .limit(limit + 1);
  return pageOf(rows, limit, ({ seq }) => String(seq));
}

/** All of them in the order of the chain, in pages, so that an export of any size needs the memory of one page. */
export async function* exportAudit(orm: Orm, query: AuditQuery): AsyncGenerator<SealedEntry[]> {
  for (let after = 0; ; ) {
    const page = await orm
      .select()
      .from(auditEvent)
      .where(and(matching(query), gt(auditEvent.seq, after)))
      .orderBy(asc(auditEvent.seq))
      .limit(EXPORT_PAGE);
    if (page.length > 0) yield page;
    if (page.length < EXPORT_PAGE) return;
    after = page.at(-1)?.seq ?? after;
  }
}
