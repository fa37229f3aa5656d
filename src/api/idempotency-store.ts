import { and, eq, sql } from "drizzle-orm";
import type { Orm, Queryable, Transaction } from "../db/client.ts";
import { deleteBatch } from "../db/purge.ts";
import { idempotencyKey } from "../db/service-tables.ts";
import { AppError } from "../shared/errors.ts";
import { type CreateContext, type IdempotentRequest, idempotentRequestOf } from "./idempotency-key.ts";

/** How long a key is kept. The retention task removes expired ones, which count as never seen before that. */
const KEPT = sql`interval '24 hours'`;

/**
 * Runs `create` in a transaction, at most once for each Idempotency-Key; a repetition gets the first result, and the
 * reply header Idempotency-Replayed.
 * @throws AppError `bad_request` for a malformed key; `idempotency_key_reused` if the key came with another request.
 */
export const createOnce = <Result extends object>(
  orm: Orm,
  context: CreateContext,
  create: (tx: Transaction) => Promise<Result>,
): Promise<Result> => createWith(orm, context, create, () => orm.transaction(create));

/** The same for what `create` writes by one statement, which needs no transaction around it where there is no key. */
export const createAtOnce = <Result extends object>(
  orm: Orm,
  context: CreateContext,
  create: (orm: Queryable) => Promise<Result>,
): Promise<Result> => createWith(orm, context, create, () => create(orm));

async function createWith<Result extends object>(
  orm: Orm,
  context: CreateContext,
  create: (tx: Transaction) => Promise<Result>,
  withoutKey: () => Promise<Result>,
): Promise<Result> {
  const request = idempotentRequestOf(context);
  if (!request) return withoutKey();
  const { result, replayed } = await orm.transaction((tx) => claimOrReplay(tx, request, create));
  if (replayed) context.set.headers["idempotency-replayed"] = "true";
  return result;
}

/**
 * The key and what it created are one transaction: after a crash both exist, or neither. Of concurrent requests one
 * creates and the others wait for it. A request that fails leaves its key unused.
 */
async function claimOrReplay<Result extends object>(
  tx: Transaction,
  request: IdempotentRequest,
  create: (tx: Transaction) => Promise<Result>,
): Promise<{ result: Result; replayed: boolean }> {
  const { userId, key, fingerprint } = request;
  const own = and(eq(idempotencyKey.userId, userId), eq(idempotencyKey.key, key));
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
    await tx.update(idempotencyKey).set({ response: result }).where(own);
    return { result, replayed: false };
  }
  const [stored] = await tx.select().from(idempotencyKey).where(own);
  if (stored?.fingerprint !== fingerprint)
    throw new AppError(
      "idempotency_key_reused",
      "This Idempotency-Key was used for another request; use a new key for a new request.",
    );
  return { result: stored.response as Result, replayed: true };
}

/** Purges a batch of expired keys. @returns how many. */
export const purgeExpiredKeys = (orm: Orm): Promise<number> =>
  deleteBatch(orm, idempotencyKey, sql`${idempotencyKey.createdAt} < now() - ${KEPT}`);
