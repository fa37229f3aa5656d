import { type SQL, sql } from "drizzle-orm";
import type { PgUpdateSetSource } from "drizzle-orm/pg-core";
import type { Failure } from "../db/json-columns.ts";
import { prompt, session } from "../db/tables.ts";

/**
 * What events make of a session and of a prompt: the statuses, and what changes with them. Statuses are written by the
 * functions of this folder, from these two tables alone.
 *
 *   prompt   Queued → Running → Completed | Failed | Cancelled; back to Queued when a run is requeued or revived
 *   session  inbox_status says where its newest work stands; session_status whether it is active, archived or failed
 */
export type SessionChange = PgUpdateSetSource<typeof session>;
export type PromptChange = PgUpdateSetSource<typeof prompt>;

export type EndStatus = "Completed" | "Failed" | "Cancelled";

const now = sql`now()`;
const isUnfinished = sql`${session.inboxStatus} in ('Pending', 'Processing')`;
const isCancelling = sql`${session.cancellationStatus} = 'Requested'`;

export const sessionAfter = {
  /** A follow-up, or a failed prompt that is tried again: whatever the session was, it is active now. */
  promptQueued: {
    inboxStatus: sql`case when ${session.inboxStatus} = 'Processing' then 'Processing' else 'Pending' end`,
    sessionStatus: "Active",
    cancellationStatus: null,
    cancelledAt: null,
    cancelledBy: null,
    updatedAt: now,
  },

  /** A run gave its prompt back; it waits again. */
  runRequeued: { inboxStatus: "Pending", updatedAt: now },

  /**
   * A run ended. Archived stays archived. @param end.waiting another prompt of the session waits. @param end.dead the
   * prompt became a dead letter.
   */
  runEnded: (end: { status: EndStatus; waiting: boolean; dead: boolean }): SessionChange => ({
    inboxStatus: end.waiting ? "Pending" : end.status,
    cancelledAt: sql`case when ${isCancelling} then now() else ${session.cancelledAt} end`,
    cancellationStatus: sql`case when ${isCancelling} then 'Cancelled' else ${session.cancellationStatus} end`,
    ...(end.dead &&
      !end.waiting && {
        sessionStatus: sql`case when ${session.sessionStatus} = 'Active' then 'Failed' else ${session.sessionStatus} end`,
      }),
    updatedAt: now,
  }),

  /** A cancelled prompt was closed for a runner that did not end it; `cancelled_at` follows once nothing runs. */
  runClosed: (end: { waiting: boolean }): SessionChange => ({
    inboxStatus: end.waiting ? "Pending" : "Cancelled",
    updatedAt: now,
  }),

  /** Its user wants a running prompt to end; the runner does that. */
  cancelRequested: (by: string): SessionChange => ({
    cancellationStatus: "Requested",
    cancelledAt: null,
    cancelledBy: by,
    updatedAt: now,
  }),

  /** Nothing ran: cancelled at once. Twice, the first time stays. */
  cancelled: (by: string): SessionChange => ({
    cancellationStatus: "Cancelled",
    cancelledAt: sql`coalesce(${session.cancelledAt}, now())`,
    cancelledBy: sql`coalesce(${session.cancelledBy}, ${by})`,
    inboxStatus: sql`case when ${isUnfinished} then 'Cancelled' else ${session.inboxStatus} end`,
    updatedAt: now,
  }),

  /**
   * A waiting prompt was deleted: the session stands where its newest prompt does; without any, where it began.
   * @param left the session's other prompts, in their order.
   */
  promptDeleted: (left: readonly { status: (typeof prompt.$inferSelect)["status"] }[]): SessionChange => {
    const has = (status: string) => left.some((one) => one.status === status);
    const newest = left.at(-1)?.status;
    const rests = newest === undefined || newest === "Queued" || newest === "Running" ? "Pending" : newest;
    return { inboxStatus: has("Running") ? "Processing" : has("Queued") ? "Pending" : rests, updatedAt: now };
  },

  archived: { sessionStatus: "Completed" },
  reopened: { sessionStatus: "Active" },
} as const satisfies Record<string, SessionChange | ((...args: never[]) => SessionChange)>;

const released = { leaseOwner: null, leaseExpiresAt: null, process: null, updatedAt: now } as const;

export const promptAfter = {
  /** A run whose user has asked for its end meanwhile ends as Cancelled, whatever else it was. */
  runEnded: (end: { status: EndStatus; error: string | null; errorKind: Failure["kind"] | null }) =>
    ({
      ...released,
      status: sql`case when ${prompt.cancelRequestedAt} is null then ${end.status} else 'Cancelled' end`,
      error: end.error,
      errorKind: end.errorKind,
      finishedAt: now,
    }) satisfies PromptChange,

  /** After a failure that may pass. @param again.delayMs it is not started before then. */
  runPostponed: (again: { delayMs: number; failure: Failure; countsAsAttempt: boolean }) =>
    ({
      ...released,
      status: "Queued",
      notBefore: sql`now() + ${Math.ceil(again.delayMs)}::int * interval '1 millisecond'`,
      error: again.failure.error,
      errorKind: again.failure.kind,
      ...(again.countsAsAttempt
        ? { failures: sql`${prompt.failures} || ${JSON.stringify([again.failure])}::jsonb` as SQL }
        : { attempt: fewerAttempts }),
    }) satisfies PromptChange,

  /** For another process to start over, at once. */
  runHandedOver: () => ({ ...released, status: "Queued", attempt: fewerAttempts }) satisfies PromptChange,
};

/** This claim was no attempt. */
const fewerAttempts = sql`greatest(${prompt.attempt} - 1, 0)`;
