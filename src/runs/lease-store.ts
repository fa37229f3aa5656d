import { and, eq, inArray, sql } from "drizzle-orm";
import type { Orm } from "../db/client.ts";
import { prompt } from "../db/tables.ts";

/**
 * Renews these leases of a runner in one statement. Leases that the runner has released without telling the database must
 * not be among them: they shall expire. @returns the leases that it still holds, by prompt.
 */
export async function renewLeases(
  orm: Orm,
  owner: string,
  promptIds: readonly string[],
  ttlMs: number,
): Promise<Map<string, { epoch: number; cancelRequested: boolean }>> {
  const held = await orm
    .update(prompt)
    .set({ leaseExpiresAt: sql`now() + ${ttlMs}::int * interval '1 millisecond'` })
    .where(
      and(inArray(prompt.id, [...promptIds]), eq(prompt.leaseOwner, owner), eq(prompt.status, "Running")),
    )
    .returning({
      id: prompt.id,
      epoch: prompt.leaseEpoch,
      cancelRequested: sql<boolean>`${prompt.cancelRequestedAt} is not null`,
    });
  return new Map(held.map(({ id, ...lease }) => [id, lease]));
}
