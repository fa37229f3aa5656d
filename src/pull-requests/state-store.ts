import { and, eq, sql } from "drizzle-orm";
import { recordAudit } from "../db/audit-log.ts";
import type { Orm, Queryable } from "../db/client.ts";
import { databaseTime } from "../db/database-time.ts";
import { pullRequest } from "../db/effect-tables.ts";
import type { PullRequest } from "../forges/forge.ts";
import { archiveSession } from "../lifecycle/archive.ts";

/** When a session is archived because of its pull request. closed: also without a merge. */
export type ArchiveWhen = "never" | "merged" | "closed";

/** What a host has said of a pull request. */
export interface Heard {
  state: PullRequest;
  /** By the database's clock. */
  askedAt: Date;
}

/** Asks a host, and notes when: of two who ask at a time, the one who has asked later knows better. */
export async function hear(orm: Orm, ask: () => Promise<PullRequest>): Promise<Heard> {
  return { askedAt: new Date(await databaseTime(orm)), state: await ask() };
}

/** A pull request that is there. */
export interface Made {
  number: number;
  url: string;
}

/** What an earlier attempt of an effect has made, or found. Undefined: none has come so far. */
export async function madeBefore(
  orm: Orm,
  effect: { id: string; sessionId: string },
): Promise<Made | undefined> {
  const own = and(eq(pullRequest.sessionId, effect.sessionId), eq(pullRequest.effectId, effect.id));
  const [row] = await orm
    .select({ number: pullRequest.number, url: pullRequest.url })
    .from(pullRequest)
    .where(own);
  return row;
}

/**
 * Keeps what the host has said, unless what is kept was asked for later, or is about a later pull request. A branch that is
 * gone was at what it was at. One that has ended since it was kept last archives its session, if that is wanted: a session
 * that its user takes up again afterwards stays so.
 */
export async function keepState(
  orm: Queryable,
  of: { sessionId: string; effectId: string },
  { state: now, askedAt }: Heard,
  archiveWhen: ArchiveWhen,
): Promise<void> {
  const state = {
    effectId: of.effectId,
    ...{ number: now.number, url: now.url, title: now.title, state: now.state, draft: now.draft },
    ...{ base: now.base, mergeable: now.mergeable, createdAt: now.createdAt },
    checks: now.checks,
    reviews: now.reviews?.map((one) => ({ ...one, at: one.at?.toISOString() ?? null })) ?? null,
    readAt: askedAt,
  };
  const own = eq(pullRequest.sessionId, of.sessionId);
  await orm.transaction(async (tx) => {
    const [before] = await tx.select({ state: pullRequest.state }).from(pullRequest).where(own).for("update");
    const kept = await tx
      .insert(pullRequest)
      .values({ sessionId: of.sessionId, ...state, head: now.head })
      .onConflictDoUpdate({
        target: pullRequest.sessionId,
        set: {
          ...state,
          head: now.head ?? sql`case when ${pullRequest.number} = ${now.number} then ${pullRequest.head} end`,
        },
        setWhere: sql`(${pullRequest.number}, ${pullRequest.readAt}) <= (excluded.number, excluded.read_at)`,
      })
      .returning({ id: pullRequest.sessionId });
    const ended = now.state === "merged" ? archiveWhen !== "never" : now.state === archiveWhen;
    if (kept.length === 0 || before?.state !== "open" || !ended) return;
    await archiveSession(tx, of.sessionId);
    const detail = { pull_request: now.url, state: now.state };
    await recordAudit(tx, {
      actor: "forge",
      action: "session.archive",
      target: `session:${of.sessionId}`,
      detail,
    });
  });
}
