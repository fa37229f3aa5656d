import { and, asc, eq, gt, sql } from "drizzle-orm";
import { decodeId, type Page, pageOf } from "../api/paging.ts";
import type { Orm } from "../db/client.ts";
import type { EffectStatus } from "../db/columns.ts";
import { effect } from "../db/effect-tables.ts";
import { prompt, session } from "../db/tables.ts";
import { ownedSessionById } from "../lifecycle/ownership.ts";
import { notFound } from "../shared/errors.ts";

/** Whether somebody is at it: its runner, or the run that pushes. */
const isUnderWay = sql`(${effect.leaseUntil} > now() or ${prompt.status} = 'Running'
  and ${prompt.leaseEpoch} = ${effect.leaseEpoch} and ${prompt.leaseExpiresAt} > now())`;

/** One that was begun is uncertain only once nobody is left who would learn its result. */
const shownStatus = sql<EffectStatus>`case when ${effect.status} = 'uncertain' and ${isUnderWay} then 'intended'
  else ${effect.status} end`;

const columns = {
  id: effect.id,
  kind: effect.kind,
  target: effect.target,
  status: shownStatus,
  request: effect.request,
  result: effect.result,
  attempts: effect.attempts,
  promptId: effect.promptId,
  createdAt: effect.createdAt,
  updatedAt: effect.updatedAt,
};

export type EffectRow = Awaited<ReturnType<typeof listEffects>>["rows"][number];

/** In the order in which they were written down first. @throws AppError `session_not_found` */
export async function listEffects(
  orm: Orm,
  wanted: {
    userId: string;
    sessionId: string;
    limit?: number | undefined;
    cursor?: string | undefined;
  },
) {
  const { userId, sessionId, limit, cursor } = wanted;
  const after = cursor === undefined ? undefined : gt(effect.id, decodeId(cursor));
  const rows = orm
    .select({ sessionId: session.id, effect: columns })
    .from(session)
    .leftJoin(effect, and(eq(effect.sessionId, session.id), after))
    .leftJoin(prompt, eq(prompt.id, effect.promptId))
    .where(ownedSessionById(userId, sessionId))
    .orderBy(asc(effect.id));
  const found = await (limit === undefined ? rows : rows.limit(limit + 1));
  if (found.length === 0) throw notFound("session", sessionId);
  const all = found.flatMap((row) => row.effect ?? []);
  const page: Page<(typeof all)[number]> = pageOf(all, limit, ({ id }) => id);
  return page;
}
