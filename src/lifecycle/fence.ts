import { and, eq, isNotNull, sql } from "drizzle-orm";
import type { Queryable } from "../db/client.ts";
import { prompt } from "../db/tables.ts";
import type { PromptChange } from "./transitions.ts";

/** Identifies one claim of a prompt. Every write of a run compares it, so that writes of a superseded run change nothing. */
export interface Fence {
  promptId: string;
  /** Grows with each claim of the prompt, and never shrinks. */
  epoch: number;
}

/** The run was superseded, or its prompt deleted: the write changed nothing, and the run must stop. */
export class LeaseLost extends Error {
  override readonly name = "LeaseLost";
  constructor() {
    super("another runner has taken this prompt over");
  }
}

/** True for the prompt while this run holds its lease: part of the condition of every write of a run. */
export const heldBy = (run: Fence) =>
  and(eq(prompt.id, run.promptId), eq(prompt.leaseEpoch, run.epoch), eq(prompt.status, "Running"));

/** Changes the prompt's row while this run holds its lease. @throws LeaseLost */
export async function updateHeld(orm: Queryable, run: Fence, change: PromptChange) {
  const [updated] = await orm
    .update(prompt)
    .set(change)
    .where(heldBy(run))
    .returning({
      sessionId: prompt.sessionId,
      status: prompt.status,
      cancelled: isNotNull(prompt.cancelRequestedAt),
    });
  if (!updated) throw new LeaseLost();
  return updated;
}

/** Selects and locks the prompt's row while this run holds its lease. The lock prevents a takeover before the write. */
export const lockedLease = (run: Fence) =>
  sql`select session_id, redone from prompt where id = ${run.promptId}::uuid and lease_epoch = ${run.epoch}::bigint
    and status = 'Running' for no key update`;
