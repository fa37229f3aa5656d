import type { Queryable } from "./client.ts";
import type { Given } from "./insert-together.ts";
import { auditPending } from "./safety-tables.ts";

/** Everything that the audit log records. */
export type AuditAction =
  | `auth.${"sign_in" | "refused" | "web_sign_in" | "web_sign_out"}`
  | `session.${"create" | "update" | "archive" | "reopen" | "fork" | "cancel" | "delete"}`
  | `prompt.${"create" | "update" | "delete" | "retry" | "resume" | "steer"}`
  | "permission.answer"
  | `message.${"create" | "update" | "delete"}`
  | `project.${"create" | "update" | "delete"}`
  | `comment.${"create" | "update" | "delete" | "send"}`
  | `dead_letter.${"resolve" | "abandon" | "retry"}`
  | `pull_request.${"create" | "merge"}`
  | `branch.${"push" | "keep" | "refuse"}`
  | `egress.${"allow" | "refuse"}`
  | "secret.use"
  | "sandbox.return"
  | `audit.${"read" | "purge"}`
  | "token.issue"
  | `data.${"backup" | "restore"}`
  | `service.${"start" | "stop"}`;

/** Who did what to which; never the content of a prompt, a token or a secret. */
export interface AuditEntry {
  /** A user's id, or the name of a part of the service. */
  actor: string;
  action: AuditAction;
  /** What it was done to: `kind:id`, such as session:019ab3c4-…. */
  target: string;
  detail?: Readonly<Record<string, unknown>>;
}

/** Characters of a text that are kept. */
const MAX_TEXT = 1_000;

/**
 * Adds entries to the audit log, in one statement. Within the transaction of the act, they are there if and only if the act
 * took place. Every process that serves or has tasks seals them about a second later, so that they are readable.
 */
export async function recordAudit(orm: Queryable, ...entries: readonly AuditEntry[]): Promise<void> {
  if (entries.length > 0) await auditInsert(orm, entries.map(auditRow));
}

interface AuditRow {
  actor: string;
  action: AuditAction;
  target: string;
  detail: Readonly<Record<string, unknown>>;
}

/** An entry as it is stored. */
export const auditRow = ({ actor, action, target, detail }: AuditEntry): AuditRow => ({
  actor: storable(actor),
  action,
  target: storable(target),
  detail: detail === undefined ? {} : JSON.parse(JSON.stringify(detail, storableValue)),
});

/** The insert alone, of one row or more. */
export const auditInsert = (orm: Queryable, rows: Given<AuditRow>[]) => orm.insert(auditPending).values(rows);

/** Text that PostgreSQL accepts, of a bounded size: hosts and branches are chosen by others. */
const storable = (text: string): string => text.slice(0, MAX_TEXT).toWellFormed().replaceAll("\0", "\ufffd");
const storableValue = (_key: string, value: unknown) => (typeof value === "string" ? storable(value) : value);
