import { count, eq, getTableColumns, max, sum } from "drizzle-orm";
import { weakEtag } from "../api/etag.ts";
import type { Page, PageQuery } from "../api/paging.ts";
import type { Orm } from "../db/client.ts";
import { egressRequest } from "../db/safety-tables.ts";
import { session } from "../db/tables.ts";
import { listOwned } from "../lifecycle/owned-lists.ts";
import { ownedSessionById } from "../lifecycle/ownership.ts";
import { notFound } from "../shared/errors.ts";

export type EgressRequestRow = typeof egressRequest.$inferSelect;

export interface EgressQuery extends PageQuery {
  userId: string;
  sessionId: string;
}

/** In the order in which they were first asked for, which later requests do not change. @throws AppError `session_not_found` */
export const listEgress = (orm: Orm, { sessionId, ...query }: EgressQuery): Promise<Page<EgressRequestRow>> =>
  listOwned(
    orm,
    { ...query, ownerId: sessionId },
    { owner: "session", of: egressRequest.sessionId, fields: getTableColumns(egressRequest) },
  );

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
