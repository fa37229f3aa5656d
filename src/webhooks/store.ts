import { createHash } from "node:crypto";
import { recordAudit } from "../db/audit-log.ts";
import type { Orm } from "../db/client.ts";
import { deleteBatch, olderThan } from "../db/purge.ts";
import { webhookSignature } from "../db/safety-tables.ts";
import { markItemReturned } from "../sandboxes/store.ts";

/** Seconds that a signature is remembered: longer than the tolerance on both sides of its timestamp. */
const REMEMBERED_S = 900;

/**
 * Marks an item as returned. A delivery with a signature takes effect once, on whatever node: the signature is stored with
 * its effect, so that a delivery that failed may be repeated, and one whose answer was lost does no harm.
 * @returns the sessions that held the item; `repeated` for a signature that was accepted before.
 */
export function acceptReturn(
  orm: Orm,
  delivery: { item: unknown; signature: string | undefined },
): Promise<string[] | "repeated"> {
  const { item, signature } = delivery;
  return orm.transaction(async (tx) => {
    if (signature !== undefined) {
      const hash = createHash("sha256").update(signature).digest("hex");
      const stored = await tx
        .insert(webhookSignature)
        .values({ hash })
        .onConflictDoNothing()
        .returning({ hash: webhookSignature.hash });
      if (stored.length === 0) return "repeated";
    }
    const sessions = await markItemReturned(tx, item);
    await recordAudit(
      tx,
      ...sessions.map((id) => ({
        actor: "webhook",
        action: "sandbox.return" as const,
        target: `session:${id}`,
        detail: { by: signature === undefined ? "bearer" : "signature" },
      })),
    );
    return sessions;
  });
}

/** Purges a batch of signatures that could no longer be replayed. @returns how many. */
export const purgeOldSignatures = (orm: Orm): Promise<number> =>
  deleteBatch(orm, webhookSignature, olderThan(webhookSignature.seenAt, REMEMBERED_S));
