import { sql } from "drizzle-orm";
import type { PageQuery } from "../api/paging.ts";
import type { Orm } from "../db/client.ts";
import type { EffectStatus } from "../db/columns.ts";
import { effect } from "../db/effect-tables.ts";
import { prompt } from "../db/tables.ts";
import { listOwned } from "../lifecycle/owned-lists.ts";

/** Whether somebody is at it: its runner, or the run that pushes. */
const isUnderWay = sql`(${effect.leaseUntil} > now() or exists (select from ${prompt}
  where ${prompt.id} = ${effect.promptId} and ${prompt.status} = 'Running'
  and ${prompt.leaseEpoch} = ${effect.leaseEpoch} and ${prompt.leaseExpiresAt} > now()))`;

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
export const listEffects = (
  orm: Orm,
  { sessionId, ...query }: PageQuery & { userId: string; sessionId: string },
) =>
  listOwned(
    orm,
    { ...query, ownerId: sessionId },
    { owner: "session", of: effect.sessionId, fields: columns },
  );
