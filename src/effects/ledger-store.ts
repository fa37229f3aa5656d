import { and, eq, inArray, isNotNull, lte, sql } from "drizzle-orm";
import type { Orm, Queryable, Transaction } from "../db/client.ts";
import { type EffectKind, storedNow } from "../db/columns.ts";
import { effect } from "../db/effect-tables.ts";
import type { EffectRequest, EffectResult } from "../db/json-columns.ts";
import { notifyEffects } from "../queue/outbox.ts";

/** How long a runner has for one attempt, by the database's clock. Afterwards another one may look. */
export const LEASE_MS = 60_000;

export type Effect = typeof effect.$inferSelect;

/** Another runner has taken the effect over: the write changed nothing. */
export class EffectTaken extends Error {
  override readonly name = "EffectTaken";
}

/**
 * Writes down what an effect-runner is to do, in the caller's transaction. The same intent again is the same effect; one that
 * has failed is tried again, as it is wanted now.
 * @returns its id.
 */
export async function intend(
  tx: Transaction,
  wanted: { sessionId: string; kind: EffectKind; target: string; key: string; request: EffectRequest },
): Promise<string> {
  const [written] = await tx
    .insert(effect)
    .values({ id: Bun.randomUUIDv7(), ...wanted, status: "intended", dueAt: storedNow })
    .onConflictDoUpdate({
      target: [effect.sessionId, effect.kind, effect.key, effect.target],
      set: {
        ...{ status: "intended", request: wanted.request, result: null, dueAt: storedNow },
        ...{ createdAt: storedNow, updatedAt: storedNow },
      },
      setWhere: eq(effect.status, "failed"),
    })
    .returning({ id: effect.id });
  await notifyEffects(tx);
  if (written) return written.id;
  const { sessionId, kind, key, target } = wanted;
  const [known] = await tx
    .select({ id: effect.id })
    .from(effect)
    .where(
      and(
        eq(effect.sessionId, sessionId),
        eq(effect.kind, kind),
        eq(effect.key, key),
        eq(effect.target, target),
      ),
    );
  if (!known) throw new Error("an effect that exists was not found");
  return known.id;
}

/** Claims the first that is due: nobody else does before the lease ends, and after a crash somebody does then. */
export async function claimEffect(orm: Orm): Promise<Effect | undefined> {
  const due = orm
    .select({ id: effect.id })
    .from(effect)
    .where(and(isNotNull(effect.dueAt), lte(effect.dueAt, storedNow)))
    .orderBy(effect.dueAt)
    .limit(1)
    .for("update", { skipLocked: true });
  const end = sql`now() + ${LEASE_MS}::int * interval '1 millisecond'`;
  const [claimed] = await orm
    .update(effect)
    .set({ attempts: sql`${effect.attempts} + 1`, dueAt: end, leaseUntil: end })
    .where(inArray(effect.id, due))
    .returning();
  return claimed;
}

/** Records that the host is about to be told: whoever comes later must look before it tells it again. @throws EffectTaken */
export const beginEffect = (orm: Queryable, one: Effect): Promise<void> =>
  write(orm, one, { status: "uncertain" });

/** @throws EffectTaken */
export const settleEffect = (
  orm: Queryable,
  one: Effect,
  end: { status: "done" | "failed"; result: EffectResult },
): Promise<void> => write(orm, one, { ...end, dueAt: null, leaseUntil: null });

/**
 * It is tried again later.
 * @param again.certain whether it is known what was done.
 * @throws EffectTaken
 */
export const postponeEffect = (
  orm: Queryable,
  one: Effect,
  again: { delayMs: number; result: EffectResult; certain: boolean },
): Promise<void> =>
  write(orm, one, {
    dueAt: sql`now() + ${Math.ceil(again.delayMs)}::bigint * interval '1 millisecond'`,
    leaseUntil: null,
    result: again.result,
    ...(again.certain && { status: "intended" as const }),
  });

async function write(
  orm: Queryable,
  one: Effect,
  set: Parameters<ReturnType<Queryable["update"]>["set"]>[0],
): Promise<void> {
  const written = await orm
    .update(effect)
    .set({ ...set, updatedAt: storedNow })
    .where(
      and(
        eq(effect.id, one.id),
        eq(effect.attempts, one.attempts),
        inArray(effect.status, ["intended", "uncertain"]),
      ),
    )
    .returning({ id: effect.id });
  if (written.length === 0) throw new EffectTaken();
}

/** @throws if there is none. */
export async function readEffect(orm: Queryable, id: string): Promise<Effect> {
  const [row] = await orm.select().from(effect).where(eq(effect.id, id));
  if (!row) throw new Error(`there is no effect ${id}`);
  return row;
}
