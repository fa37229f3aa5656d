import { and, eq, sql } from "drizzle-orm";
import { prompt } from "../db/tables.ts";

/** Names one claim of a prompt: every write of a run compares it, so that a superseded run's writes change nothing. */
export interface Fence {
  promptId: string;
  /** Grows with each claim of the prompt, and never shrinks. */
  epoch: number;
}

/** This run was superseded (or its prompt is gone): its write changed nothing, and it must stop. */
export class LeaseLost extends Error {
  override readonly name = "LeaseLost";
  constructor() {
    super("another runner has taken this prompt over");
  }
}

/** A prompt while this run still holds it: part of the condition of every write of a run. */
export const heldBy = (run: Fence) =>
  and(eq(prompt.id, run.promptId), eq(prompt.leaseEpoch, run.epoch), eq(prompt.status, "Running"));

/** The prompt's row, locked, while this run still holds it. The row lock keeps a takeover from slipping in between. */
export const lockedLease = (run: Fence) =>
  sql`select session_id from prompt where id = ${run.promptId}::uuid and lease_epoch = ${run.epoch}::bigint
    and status = 'Running' for no key update`;
