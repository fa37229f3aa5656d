import { and, eq, inArray, isNotNull, lte, sql } from "drizzle-orm";
import type { Orm } from "../db/client.ts";
import { storedNow } from "../db/columns.ts";
import { pullRequest } from "../db/effect-tables.ts";
import { session } from "../db/tables.ts";
import { notifyEffects } from "../queue/outbox.ts";
import type { PullRequestRow } from "./store.ts";

/** Pull requests of one repository that one event may have changed. */
const MAX_OPEN = 500;
/** When another runner looks, unless this one has ended it. */
const AGAIN_MS = 60_000;

/**
 * Writes down that the host says that pull requests have changed: an effect-runner reads them again.
 * @returns how many.
 */
export async function wantLook(
  orm: Orm,
  event: { pullRequest: string } | { repository: string },
): Promise<number> {
  const meant =
    "pullRequest" in event
      ? eq(pullRequest.url, event.pullRequest)
      : and(
          // Literally, as the partial index has it: the server may plan without the values.
          sql`${pullRequest.state} = 'open'`,
          // What begins with the repository's URL and a slash; 0 is the character after it. Of `like` with a value that it does
          // not know the server makes no range of an index.
          sql`${pullRequest.url} ~>=~ ${`${event.repository}/`} and ${pullRequest.url} ~<~ ${`${event.repository}0`}`,
        );
  return orm.transaction(async (tx) => {
    const found = tx.select({ id: pullRequest.sessionId }).from(pullRequest).where(meant).limit(MAX_OPEN);
    const wanted = await tx
      .update(pullRequest)
      .set({ lookAt: storedNow })
      .where(inArray(pullRequest.sessionId, found))
      .returning({ id: pullRequest.sessionId });
    if (wanted.length > 0) await notifyEffects(tx);
    return wanted.length;
  });
}

export interface DueLook {
  repo: string;
  row: PullRequestRow;
}

/** Claims those that are to be read again: nobody else does before a minute has passed, and after a crash somebody does then. */
export async function claimLooks(orm: Orm, limit: number): Promise<DueLook[]> {
  const due = orm
    .select({ id: pullRequest.sessionId })
    .from(pullRequest)
    .where(and(isNotNull(pullRequest.lookAt), lte(pullRequest.lookAt, storedNow)))
    .orderBy(pullRequest.lookAt)
    .limit(limit)
    .for("update", { skipLocked: true });
  const rows = await orm
    .update(pullRequest)
    .set({ lookAt: sql`(now() + ${AGAIN_MS}::int * interval '1 millisecond')::timestamptz(3)` })
    .from(session)
    .where(and(inArray(pullRequest.sessionId, due), eq(session.id, pullRequest.sessionId)))
    .returning({ row: pullRequest, repo: session.repo });
  return rows;
}

/** What was read is the present, unless the host has said since that it changed again. */
export async function endLook(orm: Orm, row: PullRequestRow): Promise<void> {
  await orm
    .update(pullRequest)
    .set({ lookAt: null })
    .where(and(eq(pullRequest.sessionId, row.sessionId), eq(pullRequest.lookAt, row.lookAt ?? new Date(0))));
}
