import { and, desc, eq, sql } from "drizzle-orm";
import type { Orm } from "../db/client.ts";
import { provenance } from "../db/safety-tables.ts";
import { prompt, session } from "../db/tables.ts";
import { ownedSessionById } from "../lifecycle/ownership.ts";
import { AppError, notFound } from "../shared/errors.ts";

/** So many signatures at least should be of one key. */
const NEWEST = 200;

/**
 * What was signed at the end of a run.
 * @param wanted.promptId default: of the last run of the session that made commits.
 * @throws AppError `session_not_found`, `prompt_not_found`; `prompt_unfinished`; `provenance_not_found`.
 */
export async function readProvenance(
  orm: Orm,
  wanted: { userId: string; sessionId: string; promptId: string | undefined },
): Promise<{ id: string; envelope: string }> {
  const { userId, sessionId, promptId } = wanted;
  const [found] = await orm
    .select({ promptId: prompt.id, finishedAt: prompt.finishedAt, status: prompt.status, own: provenance })
    .from(session)
    .leftJoin(
      prompt,
      and(eq(prompt.sessionId, session.id), promptId === undefined ? undefined : eq(prompt.id, promptId)),
    )
    .leftJoin(provenance, eq(provenance.promptId, prompt.id))
    .where(ownedSessionById(userId, sessionId))
    // A prompt that was revived as a dead letter may have several.
    .orderBy(sql`${provenance.id} desc nulls last`)
    .limit(1);
  if (!found) throw notFound("session", sessionId);
  if (promptId !== undefined && found.promptId === null) throw notFound("prompt", promptId);
  if (found.own) return found.own;
  if (promptId !== undefined && found.finishedAt === null)
    throw new AppError(
      "prompt_unfinished",
      `The prompt is ${found.status}: what its run has done is signed when it has ended. Try again then.`,
    );
  throw new AppError(
    "provenance_not_found",
    promptId === undefined
      ? "No run of this session has made commits yet, so that there is nothing to sign."
      : "The run of this prompt made no commits that could be delivered, so that nothing was signed. Leave prompt_id out for the session's last run that did.",
  );
}

/** The keys of the newest signatures: one, unless the key was changed or machines have different ones. */
export async function recentKeyIds(orm: Orm): Promise<string[]> {
  const newest = await orm
    .select({ keyId: provenance.keyId })
    .from(provenance)
    .orderBy(desc(provenance.id))
    .limit(NEWEST);
  return [...new Set(newest.map(({ keyId }) => keyId))];
}
