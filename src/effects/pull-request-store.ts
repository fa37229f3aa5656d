import { and, desc, eq } from "drizzle-orm";
import type { Transaction } from "../db/client.ts";
import { effect, pullRequest } from "../db/effect-tables.ts";
import type { EffectRequest } from "../db/json-columns.ts";
import { intend } from "./ledger-store.ts";

/**
 * Writes down that the session is to have a pull request. One that it has is the answer, whatever is wanted of another, as
 * long as it is open, or the branch has nothing that was not in it. The caller holds the lock of the session's row.
 * @returns the effect that makes it, or has made it.
 */
export async function intendPullRequest(
  tx: Transaction,
  wanted: {
    session: { id: string; pushedCommit: string | null };
    target: string;
    request: EffectRequest;
  },
): Promise<string> {
  const { session, target, request } = wanted;
  const [known] = await tx.select().from(pullRequest).where(eq(pullRequest.sessionId, session.id));
  if (known && (known.state === "open" || known.head === session.pushedCommit)) return known.effectId;
  const key = keyAfter(known?.number ?? 0);
  return intend(tx, { sessionId: session.id, kind: "pull_request", target, key, request });
}

/**
 * The same for a run that has pushed the branch, in the transaction that ends it. One that was closed without a merge is not
 * wanted by those who closed it: only a user makes another.
 */
export async function intendAfterRun(
  tx: Transaction,
  wanted: { session: { id: string; pushedCommit: string }; target: string; request: EffectRequest },
): Promise<void> {
  const own = eq(pullRequest.sessionId, wanted.session.id);
  const [known] = await tx.select({ state: pullRequest.state }).from(pullRequest).where(own);
  if (known?.state !== "closed") await intendPullRequest(tx, wanted);
}

const keyAfter = (number: number) => `after ${number}`;
/** The number of the pull request before this one; 0: there was none. */
export const numberBefore = (key: string): number => Number(key.slice("after ".length));

/** Whether the session's last push has arrived, as far as the ledger knows: it knows none from before it was kept. */
export async function lastPush(tx: Transaction, session: { id: string; pushedCommit: string }) {
  const [row] = await tx
    .select({ status: effect.status })
    .from(effect)
    .where(
      and(eq(effect.sessionId, session.id), eq(effect.kind, "push"), eq(effect.key, session.pushedCommit)),
    )
    .orderBy(desc(effect.updatedAt))
    .limit(1);
  return row?.status ?? "done";
}
