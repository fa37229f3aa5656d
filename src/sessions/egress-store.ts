import { and, asc, count, eq, gt, max, sum } from "drizzle-orm";
import { weakEtag } from "../api/etag.ts";
import { decodeId, type Page, pageOf } from "../api/paging.ts";
import type { Orm } from "../db/client.ts";
import { egressRequest } from "../db/safety-tables.ts";
import { session } from "../db/tables.ts";
import { ownedSessionById } from "../lifecycle/ownership.ts";
import { notFound } from "../shared/errors.ts";

export type EgressRequestRow = typeof egressRequest.$inferSelect;

export interface EgressQuery {
  userId: string;
  sessionId: string;
  limit?: number | undefined;
  cursor?: string | undefined;
}

/** In the order in which they were first asked for, which later requests do not change. @throws AppError `session_not_found` */
export async function listEgress(orm: Orm, wanted: EgressQuery): Promise<Page<EgressRequestRow>> {
  const { userId, sessionId, limit, cursor } = wanted;
  const after = cursor === undefined ? undefined : gt(egressRequest.id, decodeId(cursor));
  const rows = orm
    .select({ egress: egressRequest })
    .from(session)
    .leftJoin(egressRequest, and(eq(egressRequest.sessionId, session.id), after))
    .where(ownedSessionById(userId, sessionId))
    .orderBy(asc(egressRequest.id));
  const found = await (limit === undefined ? rows : rows.limit(limit + 1));
  if (found.length === 0) throw notFound("session", sessionId);
  return pageOf(
    found.flatMap((row) => row.egress ?? []),
    limit,
    ({ id }) => id,
  );
}

/** The ETag of the list: each request raises a count. @throws AppError `session_not_found` */
export async function egressTag(orm: Orm, wanted: EgressQuery): Promise<string> {
  const { userId, sessionId, limit, cursor } = wanted;
  const [row] = await orm
    .select({
      id: session.id,
      rows: count(egressRequest.id),
      requests: sum(egressRequest.count),
      lastAt: max(egressRequest.lastAt),
    })
    .from(session)
    .leftJoin(egressRequest, eq(egressRequest.sessionId, session.id))
    .where(ownedSessionById(userId, sessionId))
    .groupBy(session.id);
  if (!row) throw notFound("session", sessionId);
  return weakEtag("egress", row.id, limit, cursor, row.rows, row.requests, row.lastAt);
}
