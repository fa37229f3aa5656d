import { and, eq, inArray, sql } from "drizzle-orm";
import type { Orm } from "../db/client.ts";
import { prompt } from "../db/tables.ts";

/** A lease, and what its run should know. */
export interface Renewed {
  epoch: number;
  cancelRequested: boolean;
  /** Its agent waits for its user. */
  asks: boolean;
  /** There is something for the mailbox of its agent. */
  mail: boolean;
}

/**
 * Renews these leases of a runner in one statement. Leases that the runner has released without telling the database must
 * not be among them: they shall expire. @returns the leases that it still holds, by prompt.
 */
export async function renewLeases(
  orm: Orm,
  owner: string,
  promptIds: readonly string[],
  ttlMs: number,
): Promise<Map<string, Renewed>> {
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
      asks: sql<boolean>`coalesce(${prompt.waitingFor} = 'permission', false)`,
      mail: sql<boolean>`exists (select from permission_request q where q.prompt_id = ${prompt}.id
          and q.status not in ('pending', 'cancelled') and q.delivered_at is null)
        or exists (select from steer t where t.prompt_id = ${prompt}.id and t.status = 'pending' and t.written_at is null)`,
    });
  return new Map(held.map(({ id, ...lease }) => [id, lease]));
}
