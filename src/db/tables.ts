import { sql } from "drizzle-orm";
import {
  type AnyPgColumn,
  bigint,
  boolean,
  check,
  doublePrecision,
  index,
  integer,
  jsonb,
  pgTable,
  text,
  uniqueIndex,
  uuid,
} from "drizzle-orm/pg-core";
import {
  at,
  CANCELLATION_STATUSES,
  DLQ_STATUSES,
  FAILURE_KINDS,
  INBOX_STATUSES,
  id,
  MEMORY_KINDS,
  oneOf,
  PROMPT_KINDS,
  PROMPT_STATUSES,
  queuedNow,
  RUN_MODES,
  SESSION_STATUSES,
  times,
  uiStatusOfColumns,
  WAITING_FOR,
} from "./columns.ts";
import type {
  AgentProcess,
  Failure,
  OutageSeries,
  PhaseStart,
  PromptChoice,
  RunIsolation,
  SandboxConfig,
  Turn,
  Waiting,
} from "./json-columns.ts";

export const session = pgTable(
  "session",
  {
    id: id(),
    userId: text("user_id").notNull(),
    repo: text("repo").notNull(),
    targetBranch: text("target_branch").notNull(),
    branch: text("branch").notNull(),
    title: text("title").notNull(),
    parent: uuid("parent").references((): AnyPgColumn => session.id, { onDelete: "set null" }),
    messages: jsonb("messages").$type<Turn[]>().notNull().default([]),
    inboxStatus: text("inbox_status", { enum: INBOX_STATUSES }).notNull().default("Pending"),
    sessionStatus: text("session_status", { enum: SESSION_STATUSES }).notNull().default("Active"),
    /** The sandbox that the session holds, from before it is created until after it was returned. */
    sbxConfig: jsonb("sbx_config").$type<SandboxConfig>(),
    /** The last commit that was, or was about to be, pushed to `branch`. Null: no session has made that branch yet. */
    pushedCommit: text("pushed_commit"),
    /** The machine (DATA_DIR) that ran its last prompt: its store and its cache have what the next one needs. */
    warmHost: text("warm_host"),
    /** Of a fork: the commit that its branch begins with. Null: it begins with its target branch. */
    startCommit: text("start_commit"),
    /** Of a fork: the id by which agents know the conversation that it continues. Null: the session's own. */
    conversationId: uuid("conversation_id"),
    /** Of a fork: what the conversation had cost before, US dollars. Agents report the cost of a whole conversation. */
    earlierCostUsd: doublePrecision("earlier_cost_usd").notNull().default(0),
    /** What its user has chosen for its newest prompt: the next one goes on with it. Null: nothing. */
    choice: jsonb("choice").$type<PromptChoice>(),
    /** Why its next prompt does not run. Null: it waits for nothing but its turn. */
    waiting: jsonb("waiting").$type<Waiting>(),
    /** Whether a run has ended since its user marked it as seen last. */
    unread: boolean("unread").notNull().default(false),
    cancellationStatus: text("cancellation_status", { enum: CANCELLATION_STATUSES }),
    cancelledAt: at("cancelled_at"),
    cancelledBy: text("cancelled_by"),
    /** Failed returns of the sandbox. -1: there are no more. */
    ipReturnRetryCount: integer("ip_return_retry_count").notNull().default(0),
    /** The last prompt.seq and message.seq; counters in the row keep both gapless under concurrency. */
    promptSeq: integer("prompt_seq").notNull().default(0),
    messageSeq: bigint("message_seq", { mode: "number" }).notNull().default(0),
    /** Incremented with each change of its comments, by a trigger. */
    commentsVersion: bigint("comments_version", { mode: "number" }).notNull().default(0),
    /** Incremented with each change of its prompts that a client can see, by a trigger. */
    promptsVersion: bigint("prompts_version", { mode: "number" }).notNull().default(0),
    /** Incremented with each change of the row, by a trigger; ETags contain it. */
    version: bigint("version", { mode: "number" }).notNull().default(1),
    deletedAt: at("deleted_at"),
    ...times(),
  },
  (t) => [
    check("session_inbox_status", oneOf(t.inboxStatus, INBOX_STATUSES)),
    check("session_session_status", oneOf(t.sessionStatus, SESSION_STATUSES)),
    check("session_cancellation_status", oneOf(t.cancellationStatus, CANCELLATION_STATUSES)),
    check("session_not_empty", sql`${t.repo} <> '' and ${t.branch} <> '' and ${t.targetBranch} <> ''`),
    // Two sessions of one user on one branch would overwrite each other. Branches of other users are neither revealed nor
    // reserved: between users git decides, as between any two clones, and a push is never forced.
    uniqueIndex("session_user_repo_branch").on(t.userId, t.repo, t.branch).where(sql`${t.deletedAt} is null`),
    // With the version it has all that the ETag of a list needs.
    index("session_user").on(t.userId, t.createdAt, t.id, t.version).where(sql`${t.deletedAt} is null`),
    index("session_user_repo").on(t.userId, t.repo, t.createdAt, t.id).where(sql`${t.deletedAt} is null`),
    index("session_user_status")
      .on(t.userId, sql`(${uiStatusOfColumns(t)})`, t.createdAt, t.id)
      .where(sql`${t.deletedAt} is null`),
    index("session_cancelling").on(t.updatedAt).where(sql`${t.cancellationStatus} = 'Requested'`),
    index("session_deleted").on(t.deletedAt).where(sql`${t.deletedAt} is not null`),
    index("session_parent").on(t.parent).where(sql`${t.parent} is not null`),
    index("session_waiting").on(t.id).where(sql`${t.waiting} is not null`),
    index("session_sandbox").on(t.updatedAt).where(sql`${t.sbxConfig} is not null`),
    index("session_sandbox_id").on(sql`(${t.sbxConfig} ->> 'id')`).where(sql`${t.sbxConfig} is not null`),
  ],
);

export const prompt = pgTable(
  "prompt",
  {
    id: id(),
    sessionId: uuid("session_id")
      .notNull()
      .references(() => session.id, { onDelete: "cascade" }),
    /** The session's user, repeated here because claims select by user. */
    userId: text("user_id").notNull(),
    seq: integer("seq").notNull(),
    kind: text("kind", { enum: PROMPT_KINDS }).notNull().default("agent"),
    data: jsonb("data").$type<unknown>().notNull(),
    /** Who asked, by the token of then: for the commits that are made for it. Null: it named no usable e-mail. */
    authorName: text("author_name"),
    authorEmail: text("author_email"),
    /** The agent that works on it. Null: the default of the machine that starts it, which writes it here. */
    agent: text("agent"),
    /** As its agent calls it. Null: the agent's own choice. */
    model: text("model"),
    mode: text("mode", { enum: RUN_MODES }).notNull().default("auto"),
    /** How many turns its agent may take. Null: any number. */
    maxTurns: integer("max_turns"),
    /** What its run may spend, in billionths of a US dollar. Null: what the deployment's runs may. */
    budget: bigint("budget", { mode: "number" }),
    /** Whether it has waited for more of that after an agent had worked on it: its next run goes on. */
    suspended: boolean("suspended").notNull().default(false),
    /** Prompts of a user with a higher priority start first. */
    priority: integer("priority").notNull().default(0),
    status: text("status", { enum: PROMPT_STATUSES }).notNull().default("Queued"),
    attempt: integer("attempt").notNull().default(0),
    leaseOwner: text("lease_owner"),
    /** Grows with each claim and never decreases; every write of a run compares it. */
    leaseEpoch: bigint("lease_epoch", { mode: "number" }).notNull().default(0),
    /** How many of these claims do not count: the machine lacked something, or they were before a revival. */
    uncountedClaims: bigint("uncounted_claims", { mode: "number" }).notNull().default(0),
    leaseExpiresAt: at("lease_expires_at"),
    /** When its job was last written to the outbox; the session-poller's grace period starts here. */
    dispatchedAt: at("dispatched_at").notNull().defaultNow(),
    /** The earliest start of a retry. */
    notBefore: at("not_before"),
    /** Why it waits for that time, with `error` as the reason. Null while it runs, or waits for nothing but its turn. */
    waitingFor: text("waiting_for", { enum: WAITING_FOR }),
    /** The failures that it waits out, from the first one to a success. */
    outage: jsonb("outage").$type<OutageSeries>(),
    error: text("error"),
    errorKind: text("error_kind", { enum: FAILURE_KINDS }),
    failures: jsonb("failures").$type<Failure[]>().notNull().default([]),
    /** When its user cancelled it. A follow-up that arrives meanwhile is not cancelled. */
    cancelRequestedAt: at("cancel_requested_at"),
    /** The agent's process and, in bytes, how much of its output is stored: for a takeover. */
    process: jsonb("process").$type<AgentProcess>(),
    outputOffset: bigint("output_offset", { mode: "number" }).notNull().default(0),
    usage: jsonb("usage").$type<Record<string, number>>(),
    /** What its agent knew of the prompts before it, and why it was not what one expects. Null: no agent has started. */
    memory: text("memory", { enum: MEMORY_KINDS }),
    memoryReason: text("memory_reason"),
    /** The tip of the session's branch after it, whether it was pushed or not. Null: its work was not delivered. */
    commit: text("commit"),
    /** Where its work began: what it has done is what is between this and `commit`. Null: as of that, or from before this was kept. */
    startCommit: text("start_commit"),
    /** How often it began anew after an agent had worked on it. Messages of an attempt that counts less are superseded. */
    redone: integer("redone").notNull().default(0),
    /** Of its newest run, in order, without `finished`, which is `finished_at`. See lifecycle/phases.ts. */
    phases: jsonb("phases").$type<PhaseStart[]>().notNull().default(queuedNow),
    /** The project that its newest run took its settings from, and which version of it. Null: there was none. */
    projectId: uuid("project_id"),
    projectVersion: bigint("project_version", { mode: "number" }),
    /** Of its newest run's sandbox. Null: no agent has started. */
    isolation: jsonb("isolation").$type<RunIsolation>(),
    startedAt: at("started_at"),
    finishedAt: at("finished_at"),
    /** Incremented with each change that a client can see. */
    version: bigint("version", { mode: "number" }).notNull().default(1),
    /** Incremented with each change of its messages. */
    messagesVersion: bigint("messages_version", { mode: "number" }).notNull().default(0),
    ...times(),
  },
  (t) => [
    check("prompt_status", oneOf(t.status, PROMPT_STATUSES)),
    check("prompt_kind", oneOf(t.kind, PROMPT_KINDS)),
    check("prompt_error_kind", oneOf(t.errorKind, FAILURE_KINDS)),
    check("prompt_waiting_for", oneOf(t.waitingFor, WAITING_FOR)),
    check("prompt_memory", oneOf(t.memory, MEMORY_KINDS)),
    check("prompt_mode", oneOf(t.mode, RUN_MODES)),
    check(
      "prompt_lease",
      sql`(${t.status} = 'Running') = (${t.leaseOwner} is not null and ${t.leaseExpiresAt} is not null)`,
    ),
    uniqueIndex("prompt_session_seq").on(t.sessionId, t.seq),
    // The database itself refuses a second running prompt in a session.
    uniqueIndex("prompt_one_running").on(t.sessionId).where(sql`${t.status} = 'Running'`),
    index("prompt_unfinished").on(t.sessionId, t.seq).where(sql`${t.status} in ('Queued', 'Running')`),
    index("prompt_user_unfinished").on(t.userId, t.status).where(sql`${t.status} in ('Queued', 'Running')`),
    index("prompt_user_started").on(t.userId, t.startedAt.desc().nullsLast()),
    // Not what waits for a later time, however much does.
    index("prompt_undispatched")
      .on(sql`greatest(${t.dispatchedAt}, ${t.notBefore})`)
      .where(sql`${t.status} = 'Queued'`),
    // A claim reads what may start now, however many wait for later, or for another machine's agents: of a user and an agent
    // in the order of their starts.
    index("prompt_turn")
      .on(t.userId, sql`coalesce(${t.agent}, '')`, t.priority.desc().nullsFirst(), t.createdAt, t.seq)
      .where(sql`${t.status} = 'Queued' and ${t.notBefore} is null`),
    index("prompt_user_later")
      .on(t.userId, t.notBefore)
      .where(sql`${t.status} = 'Queued' and ${t.notBefore} is not null`),
    index("prompt_agent_later")
      .on(t.userId, sql`coalesce(${t.agent}, '')`, t.notBefore)
      .where(sql`${t.status} = 'Queued' and ${t.notBefore} is not null`),
    // Those that may have to wait for their agent, and those that do.
    index("prompt_agent")
      .on(t.agent, t.id)
      .where(sql`${t.status} = 'Queued' and ${t.agent} is not null and ${t.notBefore} is null`),
    index("prompt_awaits_agent")
      .on(t.agent, t.id)
      .where(sql`${t.status} = 'Queued' and ${t.waitingFor} = 'agent'`),
    // Since when, or from when on, it could have started.
    index("prompt_since")
      .on(sql`greatest(${t.createdAt}, ${t.notBefore})`)
      .where(sql`${t.status} = 'Queued'`),
    // Its size is the limit of the cluster: what counts against the limits is counted in it.
    index("prompt_running").on(t.userId).where(sql`${t.status} = 'Running' and ${t.waitingFor} is null`),
    index("prompt_cancelling")
      .on(t.cancelRequestedAt)
      .where(sql`${t.status} = 'Running' and ${t.cancelRequestedAt} is not null`),
    index("prompt_lease_expires").on(t.leaseExpiresAt).where(sql`${t.status} = 'Running'`),
  ],
);

export const message = pgTable(
  "message",
  {
    id: id(),
    promptId: uuid("prompt_id")
      .notNull()
      .references(() => prompt.id, { onDelete: "cascade" }),
    sessionId: uuid("session_id")
      .notNull()
      .references(() => session.id, { onDelete: "cascade" }),
    seq: bigint("seq", { mode: "number" }).notNull(),
    data: jsonb("data").$type<unknown>().notNull(),
    /** Of its prompt, from 1: `redone` + 1 when it was stored. */
    attempt: integer("attempt").notNull().default(1),
    ...times(),
  },
  (t) => [
    uniqueIndex("message_session_seq").on(t.sessionId, t.seq),
    index("message_prompt_seq").on(t.promptId, t.seq),
  ],
);

export const deadLetter = pgTable(
  "dead_letter_queue",
  {
    id: id(),
    taskType: text("task_type").notNull(),
    entityId: uuid("entity_id").notNull(),
    /** The owner; null if only admins may see it. */
    userId: text("user_id"),
    kind: text("kind", { enum: FAILURE_KINDS }).notNull().default("poison"),
    entityData: jsonb("entity_data").$type<unknown>(),
    retryCount: integer("retry_count").notNull().default(0),
    lastError: text("last_error").notNull(),
    lastErrorAt: at("last_error_at").notNull().defaultNow(),
    firstFailedAt: at("first_failed_at").notNull().defaultNow(),
    status: text("status", { enum: DLQ_STATUSES }).notNull().default("Pending"),
    resolutionNotes: text("resolution_notes"),
    resolvedBy: text("resolved_by"),
    resolvedAt: at("resolved_at"),
    ...times(),
  },
  (t) => [
    check("dead_letter_kind", oneOf(t.kind, FAILURE_KINDS)),
    check("dead_letter_status", oneOf(t.status, DLQ_STATUSES)),
    // In the order of lists: of a user, and of all; with a status, and with any.
    index("dead_letter_user").on(t.userId, t.status, t.createdAt, t.id),
    index("dead_letter_user_created").on(t.userId, t.createdAt, t.id),
    index("dead_letter_status_created").on(t.status, t.createdAt, t.id),
    index("dead_letter_created").on(t.createdAt, t.id),
    // What metrics count.
    index("dead_letter_pending").on(t.kind).where(sql`${t.status} = 'Pending'`),
    index("dead_letter_entity").on(t.entityId),
  ],
);
