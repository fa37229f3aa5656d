import { createHash, randomBytes } from "node:crypto";
import { and, eq, gt, sql } from "drizzle-orm";
import type { User } from "../auth/claims.ts";
import { type Orm, rowsOf } from "../db/client.ts";
import { deleteBatch, olderThan } from "../db/purge.ts";
import { eventTicket } from "../db/safety-tables.ts";
import { AppError } from "../shared/errors.ts";

/** Seconds from its creation until a ticket must have been used. */
const VALID_S = 30;
/** Most unused tickets of one user: twice as many as one process has streams for. */
const MAX_UNUSED = 100;
/** 256 bits in base64url, without padding. */
const BYTES = 32;
const FORMAT = /^[A-Za-z0-9_-]{43}$/;

const hashOf = (ticket: string) => createHash("sha256").update(ticket).digest("hex");

/**
 * Creates a ticket that lets its bearer open one stream of this user. Only its hash is stored, and no role: streams need
 * none. Concurrent requests may exceed the limit by their number.
 * @throws AppError `stream_limit_reached` above it.
 */
export async function createTicket(orm: Orm, user: User): Promise<{ ticket: string; expiresAt: Date }> {
  const ticket = randomBytes(BYTES).toString("base64url");
  const tokenExpiresAt = Number.isFinite(user.expiresAt) ? new Date(user.expiresAt).toISOString() : null;
  const [row] = await rowsOf<{ expires_at: string | Date }>(
    orm,
    sql`with expired as (
      delete from ${eventTicket} where user_id = ${user.id} and expires_at <= now())
    insert into ${eventTicket} (hash, user_id, token_expires_at, key_fingerprint, web_session, expires_at)
    select ${hashOf(ticket)}, ${user.id}, ${tokenExpiresAt}::timestamptz, ${user.keyFingerprint ?? null}::text,
      ${user.webSession ?? null}::text,
      least(now() + make_interval(secs => ${VALID_S}), ${tokenExpiresAt}::timestamptz)
    where (select count(*) from ${eventTicket} where user_id = ${user.id} and expires_at > now()) < ${MAX_UNUSED}::int
    returning expires_at`,
  );
  if (!row)
    throw new AppError(
      "stream_limit_reached",
      `You have ${MAX_UNUSED} unused tickets, which is the limit. Use them, or wait ${VALID_S} s: then they have expired.`,
      { retryAfter: VALID_S },
    );
  return { ticket, expiresAt: new Date(row.expires_at) };
}

/**
 * Uses a ticket up: one statement, so that of any number of requests, on any node, one succeeds.
 * @returns whose it was, without roles; undefined for a ticket that is used, expired, unknown or malformed.
 */
export async function redeemTicket(orm: Orm, ticket: string): Promise<User | undefined> {
  if (!FORMAT.test(ticket)) return undefined;
  const [row] = await orm
    .delete(eventTicket)
    .where(and(eq(eventTicket.hash, hashOf(ticket)), gt(eventTicket.expiresAt, sql`now()`)))
    .returning();
  return (
    row && {
      id: row.userId,
      roles: [],
      expiresAt: row.tokenExpiresAt?.getTime() ?? Number.POSITIVE_INFINITY,
      ...(row.keyFingerprint !== null && { keyFingerprint: row.keyFingerprint }),
      ...(row.webSession !== null && { webSession: row.webSession }),
    }
  );
}

/** Purges a batch of expired tickets. @returns how many. */
export const purgeExpiredTickets = (orm: Orm): Promise<number> =>
  deleteBatch(orm, eventTicket, olderThan(eventTicket.expiresAt, 0));
