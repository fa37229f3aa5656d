import { and, asc, count, eq, gt, max, sql } from "drizzle-orm";
import { weakEtag } from "../api/etag.ts";
import { decodeSeq, type Page, pageOf } from "../api/paging.ts";
import type { Orm } from "../db/client.ts";
import { prompt, session } from "../db/tables.ts";
import { ownedSession, type PromptRow } from "../lifecycle/ownership.ts";
import { notFound } from "../shared/errors.ts";

/** A session's prompts in their order. @throws AppError `session_not_found`, also where it is another user's. */
export async function listPrompts(
  orm: Orm,
  wanted: { userId: string; sessionId: string; limit?: number | undefined; cursor?: string | undefined },
): Promise<Page<PromptRow>> {
  const { userId, sessionId, limit, cursor } = wanted;
  const rows = orm
    .select({ prompt })
    .from(session)
    .leftJoin(prompt, and(eq(prompt.sessionId, session.id), gt(prompt.seq, decodeSeq(cursor))))
    .where(and(eq(session.id, sessionId), ownedSession(userId)))
    .orderBy(asc(prompt.seq));
  const found = await (limit === undefined ? rows : rows.limit(limit + 1));
  if (found.length === 0) throw notFound("session", sessionId);
  return pageOf(
    found.flatMap((row) => row.prompt ?? []),
    limit,
    ({ seq }) => String(seq),
  );
}

/** The ETag of a prompt. */
export const promptTag = ({ id, version }: PromptRow) => weakEtag("prompt", id, version);

/**
 * The ETag of the list: a new prompt has the highest number, and each visible change raises its prompt's version, so that
 * the same last number, count and sum of versions mean the same prompts, unchanged. @throws AppError `session_not_found`
 */
export async function promptsTag(
  orm: Orm,
  wanted: { userId: string; sessionId: string; limit?: number | undefined; cursor?: string | undefined },
): Promise<string> {
  const { userId, sessionId, limit, cursor } = wanted;
  const [all] = await orm
    .select({
      last: max(prompt.seq),
      count: count(prompt.id),
      versions: sql<string | null>`sum(${prompt.version})`,
    })
    .from(session)
    .leftJoin(prompt, eq(prompt.sessionId, session.id))
    .where(and(eq(session.id, sessionId), ownedSession(userId)))
    .groupBy(session.id);
  if (!all) throw notFound("session", sessionId);
  return weakEtag("prompts", sessionId, limit, cursor, all.last, all.count, all.versions);
}
