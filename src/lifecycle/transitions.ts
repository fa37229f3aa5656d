import { type SQL, sql } from "drizzle-orm";
import type { PgUpdateSetSource } from "drizzle-orm/pg-core";
import { queuedNow, type WaitingFor } from "../db/columns.ts";
import type { Failure, OutageSeries, Waiting } from "../db/json-columns.ts";
import { prompt, session } from "../db/tables.ts";

/**
 * The transitions of sessions and prompts: how each event changes the statuses and what belongs to them. Only functions of
 * this folder write statuses: from these two tables, or in one statement with more (startRun, requestCancel, closeCancelled,
 * revivePrompts).
 *
 *   prompt   Queued → Running → Completed | Failed | Cancelled; back to Queued when a run is requeued or revived
 *   session  inbox_status: the state of its newest work; session_status: whether it is active, archived or failed
 */
export type SessionChange = PgUpdateSetSource<typeof session>;
export type PromptChange = PgUpdateSetSource<typeof prompt>;

export type EndStatus = "Completed" | "Failed" | "Cancelled";

/** When a run is to be tried again, and why. */
export interface Retry {
  /** The earliest start, from now. */
  delayMs: number;
  failure: Failure;
}

export interface Wait extends Retry {
  waitingFor: WaitingFor;
  /** Null: the wait has no end. */
  outage: OutageSeries | null;
}

/** A run that waits for its budget. */
export interface Suspension {
  failure: Failure;
  /** The one that is used up. */
  budget: NonNullable<Waiting["budget"]>;
  /** When there is a new one. Undefined: its user must raise it. */
  until: Date | undefined;
}

const now = sql`now()`;
const isUnfinished = sql`${session.inboxStatus} in ('Pending', 'Processing')`;
const isCancelling = sql`${session.cancellationStatus} = 'Requested'`;

/** A prompt that was revived before one that waits for money: that one is not tried again, and nobody else would say why. */
const laterBudgetWait = sql`(select jsonb_build_object('for', 'budget', 'reason', p.error, 'since', p.updated_at,
    'until', case when p.not_before < now() + interval '1 year' then p.not_before end)
  from prompt p where p.session_id = ${session.id} and p.status = 'Queued' and p.waiting_for = 'budget'
  order by p.seq limit 1)`;

export const sessionAfter = {
  /** A follow-up was added or a failed prompt revived: the session becomes active, whatever it was. */
  promptQueued: {
    inboxStatus: sql`case when ${session.inboxStatus} = 'Processing' then 'Processing' else 'Pending' end`,
    sessionStatus: "Active",
    cancellationStatus: null,
    cancelledAt: null,
    cancelledBy: null,
    updatedAt: now,
  },

  /** A run requeued its prompt. @param waiting what it waits for; null: a slot. */
  runRequeued: (waiting: Waiting | null): SessionChange => ({
    inboxStatus: "Pending",
    waiting,
    updatedAt: now,
  }),

  /** A prompt's wait was ended, for its next attempt; that of another prompt, which is ahead of it, stays. */
  waitEnded: {
    waiting: sql`case when exists (select 1 from prompt p
      where p.session_id = ${session.id} and p.waiting_for is not null) then ${session.waiting} end`,
    updatedAt: now,
  },

  /** A run waits for money; its user has to see it. */
  runSuspended: (waiting: Waiting): SessionChange => ({
    inboxStatus: "Pending",
    waiting,
    unread: true,
    updatedAt: now,
  }),

  /** A run waits with its sandbox. */
  runParked: (waiting: Waiting): SessionChange => ({ waiting, updatedAt: now }),

  /**
   * A run ended, which its user has not seen, unless it was cancelled. An archived session stays archived.
   * @param end.waiting whether another prompt of the session waits. @param end.dead whether the prompt became a dead letter.
   */
  runEnded: (end: { status: EndStatus; waiting: boolean; dead: boolean }): SessionChange => ({
    inboxStatus: end.waiting ? "Pending" : end.status,
    waiting: end.waiting ? laterBudgetWait : null,
    ...(end.status !== "Cancelled" && { unread: true }),
    cancelledAt: sql`case when ${isCancelling} then now() else ${session.cancelledAt} end`,
    cancellationStatus: sql`case when ${isCancelling} then 'Cancelled' else ${session.cancellationStatus} end`,
    ...(end.dead &&
      !end.waiting && {
        sessionStatus: sql`case when ${session.sessionStatus} = 'Active' then 'Failed' else ${session.sessionStatus} end`,
      }),
    updatedAt: now,
  }),

  /** A cancelled prompt was closed because its runner did not end it. `cancelled_at` is set once nothing runs. */
  runClosed: (end: { waiting: boolean }): SessionChange => ({
    inboxStatus: end.waiting ? "Pending" : "Cancelled",
    updatedAt: now,
  }),

  /** The user cancelled while a prompt runs; its runner will end it. */
  cancelRequested: (by: string): SessionChange => ({
    cancellationStatus: "Requested",
    cancelledAt: null,
    cancelledBy: by,
    // For an answer, if anything.
    waiting: null,
    updatedAt: now,
  }),

  /** The user cancelled while nothing runs. A second cancellation keeps the time and user of the first. */
  cancelled: (by: string): SessionChange => ({
    cancellationStatus: "Cancelled",
    cancelledAt: sql`coalesce(${session.cancelledAt}, now())`,
    cancelledBy: sql`coalesce(${session.cancelledBy}, ${by})`,
    inboxStatus: sql`case when ${isUnfinished} then 'Cancelled' else ${session.inboxStatus} end`,
    waiting: null,
    updatedAt: now,
  }),

  /**
   * A waiting prompt was deleted: the session takes the status of its newest prompt, or Pending without any.
   * @param left the session's other prompts, in order.
   */
  promptDeleted: (
    left: readonly Pick<typeof prompt.$inferSelect, "status" | "waitingFor">[],
  ): SessionChange => {
    const has = (status: string) => left.some((one) => one.status === status);
    const newest = left.at(-1)?.status;
    const settled = newest === undefined || newest === "Queued" || newest === "Running" ? "Pending" : newest;
    return {
      inboxStatus: has("Running") ? "Processing" : has("Queued") ? "Pending" : settled,
      ...(left.every(({ waitingFor }) => waitingFor === null) && { waiting: null }),
      updatedAt: now,
    };
  },

  archived: { sessionStatus: "Completed", updatedAt: now },
  reopened: { sessionStatus: "Active", updatedAt: now },
} as const satisfies Record<string, SessionChange | ((...args: never[]) => SessionChange)>;

const released = {
  waitingFor: null,
  leaseOwner: null,
  leaseExpiresAt: null,
  process: null,
  // Without the process, whether it is 0 says whether an agent has stored output in the present attempt.
  outputOffset: sql`case when (${prompt.process} ->> 'hasOutput')::boolean then greatest(${prompt.outputOffset}, 1)
    else ${prompt.outputOffset} end`,
  updatedAt: now,
} as const;

/** The prompt waits again; one that its user has cancelled meanwhile has ended: nobody would start it in a deleted session. */
const requeued = {
  ...released,
  status: sql`case when ${prompt.cancelRequestedAt} is null then 'Queued' else 'Cancelled' end`,
  finishedAt: sql`case when ${prompt.cancelRequestedAt} is null then null else now() end`,
  phases: sql`case when ${prompt.cancelRequestedAt} is null then ${queuedNow} else ${prompt.phases} end`,
} as const;

export const promptAfter = {
  /** A run that its user has cancelled meanwhile ends as Cancelled, whatever its outcome. */
  runEnded: (end: { status: EndStatus; error: string | null; errorKind: Failure["kind"] | null }) =>
    ({
      ...released,
      status: sql`case when ${prompt.cancelRequestedAt} is null then ${end.status} else 'Cancelled' end`,
      error: end.error,
      errorKind: end.errorKind,
      outage: null,
      finishedAt: now,
    }) satisfies PromptChange,

  /** After a failure that counts as an attempt. */
  runFailed: (again: Retry) =>
    ({
      ...requeued,
      ...retried(again),
      waitingFor: null,
      failures: sql`${prompt.failures} || ${JSON.stringify([again.failure])}::jsonb` as SQL,
    }) satisfies PromptChange,

  /** What the run needs is not there: it waits, which does not count as an attempt. */
  runPostponed: (again: Wait) =>
    ({
      ...requeued,
      ...retried(again),
      waitingFor: unlessCancelled(again.waitingFor),
      outage: again.outage,
      attempt: fewerAttempts,
      uncountedClaims: sql`${prompt.uncountedClaims} + 1`,
    }) satisfies PromptChange,

  /** What it has done is delivered and its memory kept: the next run goes on from that, once there is money for it. */
  runSuspended: ({ failure, until }: Suspension) =>
    ({
      ...requeued,
      // What the agent has said stays: nothing of it is done again.
      outputOffset: 0,
      notBefore: until ? sql`${until.toISOString()}::timestamptz` : sql`now() + interval '100 years'`,
      error: failure.error,
      errorKind: failure.kind,
      waitingFor: unlessCancelled("budget"),
      outage: null,
      suspended: true,
      attempt: fewerAttempts,
      uncountedClaims: sql`${prompt.uncountedClaims} + 1`,
    }) satisfies PromptChange,

  /** The same, but its sandbox has work that is nowhere else: the next runner on its machine goes on in it. */
  runParked: (again: Wait, owner: string, graceMs: number) =>
    ({
      ...retried(again),
      // Who has cancelled meanwhile does not wait.
      notBefore: sql`case when ${prompt.cancelRequestedAt} is null then ${later(again.delayMs)} else now() end`,
      leaseOwner: owner,
      leaseExpiresAt: later(again.delayMs + graceMs),
      waitingFor: again.waitingFor,
      outage: again.outage,
      uncountedClaims: sql`${prompt.uncountedClaims} + 1`,
      updatedAt: now,
    }) satisfies PromptChange,

  /**
   * As if the time of its next attempt had come. Of one that waits with its sandbox, the time that its own machine has to go
   * on begins now. The series of failures goes on: a wait that is ended by hand is not a success.
   */
  waitEnded: {
    notBefore: null,
    waitingFor: null,
    leaseExpiresAt: sql`${prompt.leaseExpiresAt} - greatest(${prompt.notBefore} - now(), interval '0')`,
    updatedAt: now,
  } satisfies PromptChange,

  /** The prompt may start again in another process at once. */
  runHandedOver: () => ({ ...requeued, attempt: fewerAttempts }) satisfies PromptChange,
};

const later = (ms: number) => sql`now() + ${Math.ceil(ms)}::int * interval '1 millisecond'`;

const retried = ({ delayMs, failure }: Retry) => ({
  notBefore: later(delayMs),
  error: failure.error,
  errorKind: failure.kind,
});

/** Who has cancelled meanwhile waits for nothing. */
const unlessCancelled = (what: WaitingFor) =>
  sql`case when ${prompt.cancelRequestedAt} is null then ${what} end`;

/** This claim does not count as an attempt. */
const fewerAttempts = sql`greatest(${prompt.attempt} - 1, 0)`;
