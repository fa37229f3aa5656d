import { and, eq, sql } from "drizzle-orm";
import type { Orm, Transaction } from "../db/client.ts";
import { deleteSome } from "../db/purge.ts";
import { idempotencyKey } from "../db/tables.ts";
import { AppError } from "../shared/errors.ts";
import type { Attempt } from "./idempotency-key.ts";

/** How long a key is known; retention removes older ones, which count as never seen before that. */
const KEPT = sql`interval '24 hours'`;

/**
 * Creates something at most once for each Idempotency-Key, and answers every repetition as the first time. The key and
 * what it made are one transaction: after a crash both are there, or neither; of requests at the same moment one
 * creates, and the others wait for it. A request that fails leaves its key unused.
 * @throws AppError `conflict` when the key came with another request before.
 */
export async function createOnce<Result extends object>(
  orm: Orm,
  attempt: Attempt,
  create: (tx: Transaction) => Promise<Result>,
): Promise<{ result: Result; replayed: boolean }> {
  const { userId, key, fingerprint } = attempt;
  return orm.transaction(async (tx) => {
    if (key === undefined) return { result: await create(tx), replayed: false };
    const mine = and(eq(idempotencyKey.userId, userId), eq(idempotencyKey.key, key));
    const [claimed] = await tx
      .insert(idempotencyKey)
      .values({ userId, key, fingerprint, response: {} })
      .onConflictDoUpdate({
        target: [idempotencyKey.userId, idempotencyKey.key],
        set: { fingerprint, createdAt: sql`now()` },
        setWhere: sql`${idempotencyKey.createdAt} < now() - ${KEPT}`,
      })
      .returning({ key: idempotencyKey.key });
    if (claimed) {
      const result = await create(tx);
      await tx.update(idempotencyKey).set({ response: result }).where(mine);
      return { result, replayed: false };
    }
    const [stored] = await tx.select().from(idempotencyKey).where(mine);
    if (stored?.fingerprint !== fingerprint)
      throw new AppError(
        "idempotency_key_reused",
        "This Idempotency-Key came with another request before; use a new key for a new request.",
      );
    return { result: stored.response as Result, replayed: true };
  });
}

/** Purges a batch of expired keys. @returns how many. */
export const purgeExpiredKeys = (orm: Orm): Promise<number> =>
  deleteSome(orm, idempotencyKey, sql`${idempotencyKey.createdAt} < now() - ${KEPT}`);
