import { createHash } from "node:crypto";
import { and, eq, gt, isNull, lt, or, sql } from "drizzle-orm";
import { recordAudit } from "../db/audit-log.ts";
import type { Orm } from "../db/client.ts";
import { deleteBatch, olderThan } from "../db/purge.ts";
import { usedSignInCode, webSession } from "../db/web-session-tables.ts";
import { AppError } from "../shared/errors.ts";

/** Days that a web session lasts: at most, and without use. The identity provider may end it earlier. */
export const MAX_DAYS = 30;
const IDLE_DAYS = 7;
/** Its use is written down this often, so that reads rarely write. */
const USE_HOURS = 1;

/** A refresh is done by one request alone for this long; after a failure the next one waits so long. */
export const REFRESH_LEASE_S = 15;
const REFRESH_PAUSE_S = 5;

const inSeconds = (seconds: number) => sql`now() + make_interval(secs => ${seconds}::int)`;
const inDays = (days: number) => sql`now() + make_interval(days => ${days}::int)`;
const idleEnd = sql`least(${webSession.createdAt} + make_interval(days => ${MAX_DAYS}::int), ${inDays(IDLE_DAYS)})`;

export interface WebSessionRow {
  userId: string;
  sealedTokens: string;
  /** When the tokens are to be renewed; null: they cannot be. */
  refreshAt: Date | null;
  expiresAt: Date;
}

/** Stores a session that begins. @param by what it was signed in with. */
export function insertWebSession(
  orm: Orm,
  one: { id: string; userId: string; sealedTokens: string; refreshAt: Date | null; by: "link" | "oidc" },
): Promise<void> {
  const { id, userId, sealedTokens, refreshAt, by } = one;
  return orm.transaction(async (tx) => {
    await tx.insert(webSession).values({ id, userId, sealedTokens, refreshAt, expiresAt: inDays(IDLE_DAYS) });
    await recordAudit(tx, {
      actor: userId,
      action: "auth.web_sign_in",
      target: targetOf(id),
      detail: { by },
    });
  });
}

/** The session of this id, which has been used with this; undefined if it has ended. */
export async function findWebSession(orm: Orm, id: string): Promise<WebSessionRow | undefined> {
  const isOpen = and(eq(webSession.id, id), gt(webSession.expiresAt, sql`now()`));
  const [row] = await orm
    .select({
      userId: webSession.userId,
      sealedTokens: webSession.sealedTokens,
      refreshAt: webSession.refreshAt,
      expiresAt: webSession.expiresAt,
      used: sql<boolean>`${webSession.expiresAt} < ${idleEnd} - make_interval(hours => ${USE_HOURS}::int)`,
    })
    .from(webSession)
    .where(isOpen);
  if (!row?.used) return row;
  const [moved] = await orm.update(webSession).set({ expiresAt: idleEnd }).where(isOpen).returning();
  return moved;
}

/**
 * Leases the refresh of these very tokens: one statement, so that of any number of requests, on any node, one gets it.
 * @returns whether this one did.
 */
export async function claimRefresh(orm: Orm, id: string, sealedTokens: string): Promise<boolean> {
  const isFree = or(isNull(webSession.refreshLeaseUntil), lt(webSession.refreshLeaseUntil, sql`now()`));
  const claimed = await orm
    .update(webSession)
    .set({ refreshLeaseUntil: inSeconds(REFRESH_LEASE_S) })
    .where(and(eq(webSession.id, id), eq(webSession.sealedTokens, sealedTokens), isFree))
    .returning({ id: webSession.id });
  return claimed.length > 0;
}

/** Stores renewed tokens in place of the old ones. @returns false if those are not there: the session has ended, or others are newer. */
export async function storeRefreshed(
  orm: Orm,
  id: string,
  { old, sealedTokens, refreshAt }: { old: string; sealedTokens: string; refreshAt: Date },
): Promise<boolean> {
  const stored = await orm
    .update(webSession)
    .set({ sealedTokens, refreshAt, refreshLeaseUntil: null })
    .where(and(eq(webSession.id, id), eq(webSession.sealedTokens, old)))
    .returning({ id: webSession.id });
  return stored.length > 0;
}

/** After a refresh that has failed: the next one may begin soon, but not at once. */
export async function postponeRefresh(orm: Orm, id: string, sealedTokens: string): Promise<void> {
  await orm
    .update(webSession)
    .set({ refreshLeaseUntil: inSeconds(REFRESH_PAUSE_S) })
    .where(and(eq(webSession.id, id), eq(webSession.sealedTokens, sealedTokens)));
}

/** Whether nobody has signed this session out, and it has not expired. */
export async function isWebSessionOpen(orm: Orm, id: string): Promise<boolean> {
  const [row] = await orm
    .select({ id: webSession.id })
    .from(webSession)
    .where(and(eq(webSession.id, id), gt(webSession.expiresAt, sql`now()`)));
  return row !== undefined;
}

/** Ends a session, or all of its user's. @returns the row; undefined if it had ended before. */
export function deleteWebSession(
  orm: Orm,
  { id, everywhere }: { id: string; everywhere: boolean },
): Promise<WebSessionRow | undefined> {
  return orm.transaction(async (tx) => {
    const [row] = await tx.delete(webSession).where(eq(webSession.id, id)).returning();
    if (!row) return undefined;
    const { userId } = row;
    const others = everywhere
      ? await tx.delete(webSession).where(eq(webSession.userId, userId)).returning({ id: webSession.id })
      : [];
    await recordAudit(
      tx,
      ...[row, ...others].map((one) => ({
        actor: userId,
        action: "auth.web_sign_out" as const,
        target: targetOf(one.id),
      })),
    );
    return row;
  });
}

const targetOf = (id: string) => `web_session:${id}`;

/**
 * Uses the code of a sign-in link up: one statement, so that of any number of requests, on any node, one succeeds.
 * @throws AppError `sign_in_code_invalid` for one that was used before.
 */
export async function useSignInCode(orm: Orm, code: string, expiresAt: Date): Promise<void> {
  const hash = createHash("sha256").update(code).digest("hex");
  const stored = await orm
    .insert(usedSignInCode)
    .values({ hash, expiresAt })
    .onConflictDoNothing()
    .returning({ hash: usedSignInCode.hash });
  if (stored.length === 0)
    throw new AppError(
      "sign_in_code_invalid",
      "This link was used before: each signs in once. `prompt-backend open` makes another one.",
    );
}

/** Purge a batch of what has expired. @returns how many. */
export const purgeWebSessions = (orm: Orm): Promise<number> =>
  deleteBatch(orm, webSession, olderThan(webSession.expiresAt, 0));
export const purgeUsedCodes = (orm: Orm): Promise<number> =>
  deleteBatch(orm, usedSignInCode, olderThan(usedSignInCode.expiresAt, 0));
