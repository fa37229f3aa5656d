import { sql } from "drizzle-orm";
import { type AnyPgColumn, customType, timestamp, uuid } from "drizzle-orm/pg-core";

export const INBOX_STATUSES = ["Pending", "Processing", "Completed", "Failed", "Cancelled"] as const;
export const SESSION_STATUSES = ["Active", "Completed", "Failed"] as const;
export const PROMPT_STATUSES = ["Queued", "Running", "Completed", "Failed", "Cancelled"] as const;
export const CANCELLATION_STATUSES = ["Requested", "Cancelled"] as const;
export const DLQ_STATUSES = ["Pending", "Resolved", "Abandoned"] as const;
/** What a run of a prompt does: its agent works, what the session could not push is pushed, or it takes its target branch in. */
export const PROMPT_KINDS = ["agent", "push", "sync"] as const;
export type PromptKind = (typeof PROMPT_KINDS)[number];
/** What may come with a prompt: a picture, a document for the model to read, or any file. */
export const ATTACHMENT_KINDS = ["image", "document", "file"] as const;
export type AttachmentKind = (typeof ATTACHMENT_KINDS)[number];
/** What a prompt goes through, in order. Each lasts until the next one begins; pushes and syncs work from their claim on. */
export const PROMPT_PHASES = ["queued", "preparing", "working", "delivering", "finished"] as const;
export type PromptPhase = (typeof PROMPT_PHASES)[number];
/** What an agent remembers from one prompt of a session to the next: its transcript, the files that it has kept, or nothing. */
export const AGENT_MEMORY_KINDS = ["transcript", "files", "none"] as const;
export type AgentMemoryKind = (typeof AGENT_MEMORY_KINDS)[number];
export { MODEL_APIS, type ModelApi, RUN_MODES, type RunMode } from "../shared/agent-kinds.ts";
/** What an agent knew of the prompts before its own (see memory/memory.ts). */
export const MEMORY_KINDS = ["fresh", "resumed", "replayed", "cold"] as const;
export type MemoryKind = (typeof MEMORY_KINDS)[number];
/** Who speaks in a session's conversation. */
export const TURN_ROLES = ["user", "assistant"] as const;
/** Which side of a diff a comment is about: what there was before the work, or what there is after it. */
export const COMMENT_SIDES = ["old", "new"] as const;
export type CommentSide = (typeof COMMENT_SIDES)[number];
/** What a sandbox is. */
export const SANDBOX_PROVIDERS = ["local", "allocator"] as const;
/** What of the outside world a prompt may wait for, up to RETRY_TRANSIENT_HOURS (`runs/outages.ts`). */
const OUTAGE_CAUSES = ["git_host", "model", "sandbox", "database", "machine"] as const;
export type OutageCause = (typeof OUTAGE_CAUSES)[number];
/**
 * What a prompt may wait for; for what this machine lacks, a machine that has its agent, or money, without end. `permission`: its
 * agent, which runs, has asked its user.
 */
export const WAITING_FOR = [...OUTAGE_CAUSES, "disk", "isolation", "agent", "permission", "budget"] as const;
export type WaitingFor = (typeof WAITING_FOR)[number];
/**
 * How a question of an agent stands. `allowed_run`: for the rest of the run. - expired: nobody answered in time, which denies
 * it. - cancelled: the agent withdrew it, or its run has ended.
 */
export const PERMISSION_STATUSES = [
  "pending",
  "allowed",
  "allowed_run",
  "denied",
  "expired",
  "cancelled",
] as const;
export type PermissionStatus = (typeof PERMISSION_STATUSES)[number];
/** What became of what a user said to a working agent; `queued`: it has become a prompt. */
export const STEER_STATUSES = ["pending", "delivered", "queued", "cancelled"] as const;
/** What the service does outside of itself, for a session (see effects/). */
export const EFFECT_KINDS = ["push", "pull_request", "merge"] as const;
export type EffectKind = (typeof EFFECT_KINDS)[number];
/**
 * - intended: written down, and not begun.  - uncertain: begun, and its result is not known.
 * - done, failed: how it ended.
 */
export const EFFECT_STATUSES = ["intended", "uncertain", "done", "failed"] as const;
export type EffectStatus = (typeof EFFECT_STATUSES)[number];
export const PULL_REQUEST_STATES = ["open", "merged", "closed"] as const;
/** The kind of failure that ended a run; it determines how the failure is handled (`runs/failures.ts`). */
export const FAILURE_KINDS = [
  "transient",
  "agent",
  "configuration",
  "poison",
  "interrupted",
  "limit",
] as const;

export const id = () => uuid("id").primaryKey();
/** A timestamp in milliseconds, the precision of JavaScript's dates: a cursor made from a row must find that row again. */
export const at = (name: string) => timestamp(name, { withTimezone: true, precision: 3, mode: "date" });
/** The current time, rounded like stored times: `now()` alone can be half a millisecond before a time stored from it. */
export const storedNow = sql`now()::timestamptz(3)`;
/** The start of a phase, as JSON. In the text of the statement, because a column's default has no parameters. */
export const phaseStart = (name: PromptPhase) =>
  sql`jsonb_build_object('name', ${sql.raw(`'${name}'`)}, 'started_at', ${storedNow})`;
/** The phases of a prompt that waits for a run: those of an earlier one are gone. */
export const queuedNow = sql`jsonb_build_array(${phaseStart("queued")})`;
export const bytes = customType<{ data: Uint8Array }>({ dataType: () => "bytea" });
export const times = () => ({
  createdAt: at("created_at").notNull().defaultNow(),
  updatedAt: at("updated_at").notNull().defaultNow(),
});
export const oneOf = (column: AnyPgColumn, values: readonly string[]) =>
  sql`${column} in (${sql.raw(values.map((value) => `'${value}'`).join(", "))})`;
/** What a session shows its user, of the columns that it follows from. Here because an index is on it. */
export const uiStatusOfColumns = (of: Record<"sessionStatus" | "inboxStatus" | "sbxConfig", AnyPgColumn>) =>
  sql`case
  when ${of.sessionStatus} = 'Completed' then 'Archived'
  when ${of.inboxStatus} = 'Pending' then 'Pending'
  when ${of.inboxStatus} = 'Processing' then 'InProgress'
  when ${of.sbxConfig} is not null then 'NeedsReview'
  else 'NeedsReviewIpReturned' end`;
