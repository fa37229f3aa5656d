import { and, desc, eq, type SQL, sql } from "drizzle-orm";
import { type AuditEntry, recordAudit } from "../db/audit-log.ts";
import type { Orm, Queryable } from "../db/client.ts";
import type { DLQ_STATUSES } from "../db/columns.ts";
import { deadLetter } from "../db/tables.ts";
import { AppError, notFound } from "../shared/errors.ts";

export type DlqStatus = (typeof DLQ_STATUSES)[number];
export type DeadLetterRow = typeof deadLetter.$inferSelect;

/** The requester; admins see all entries. */
export interface Viewer {
  userId: string;
  admin: boolean;
}

/** Part of every condition: a dead letter of another user does not exist. */
export const visibleTo = ({ userId, admin }: Viewer): SQL | undefined =>
  admin ? undefined : eq(deadLetter.userId, userId);

/** Rows of one statement: an index has them in their order, however many there are. */
const PAGE = 500;

/** Newest first. */
export async function listDeadLetters(
  orm: Orm,
  viewer: Viewer,
  status: DlqStatus | undefined,
): Promise<DeadLetterRow[]> {
  const found: DeadLetterRow[] = [];
  for (;;) {
    const last = found.at(-1);
    const page = await orm
      .select()
      .from(deadLetter)
      .where(
        and(
          visibleTo(viewer),
          status === undefined ? undefined : eq(deadLetter.status, status),
          last &&
            sql`(${deadLetter.createdAt}, ${deadLetter.id}) < (${last.createdAt.toISOString()}::timestamptz, ${last.id}::uuid)`,
        ),
      )
      .orderBy(desc(deadLetter.createdAt), desc(deadLetter.id))
      .limit(PAGE);
    found.push(...page);
    if (page.length < PAGE) return found;
  }
}

/** @throws AppError `dead_letter_not_found`, also where it is another user's. */
export async function readDeadLetter(orm: Queryable, viewer: Viewer, id: string): Promise<DeadLetterRow> {
  const [row] = await orm
    .select()
    .from(deadLetter)
    .where(and(eq(deadLetter.id, id), visibleTo(viewer)));
  if (!row) throw notFound("dead letter", id);
  return row;
}

/** The columns of an entry that is no longer Pending: who closed it, when and why. */
export const closing = (viewer: Viewer, status: "Resolved" | "Abandoned", notes: string | null) => ({
  status,
  resolutionNotes: notes,
  resolvedBy: viewer.userId,
  resolvedAt: sql`now()`,
  updatedAt: sql`now()`,
});

/** @throws AppError `dead_letter_not_found`; `dead_letter_closed`, and the notes of the first closing are kept. */
export async function closeDeadLetter(
  orm: Orm,
  wanted: { viewer: Viewer; id: string; status: "Resolved" | "Abandoned"; notes: string | null },
): Promise<void> {
  const { viewer, id, status, notes } = wanted;
  const closed = await orm.transaction(async (tx) => {
    const rows = await tx
      .update(deadLetter)
      .set(closing(viewer, status, notes))
      .where(and(eq(deadLetter.id, id), visibleTo(viewer), eq(deadLetter.status, "Pending")))
      .returning({ id: deadLetter.id, owner: deadLetter.userId });
    const action = status === "Resolved" ? "dead_letter.resolve" : "dead_letter.abandon";
    await recordAudit(tx, ...rows.map((row) => actOn(viewer, action, row)));
    return rows;
  });
  if (closed.length > 0) return;
  throw notPending((await readDeadLetter(orm, viewer, id)).status);
}

/** The entry of the audit log for what somebody did to a dead letter. */
export const actOn = (
  viewer: Viewer,
  action: "dead_letter.resolve" | "dead_letter.abandon" | "dead_letter.retry",
  row: { id: string; owner: string | null },
): AuditEntry => ({
  actor: viewer.userId,
  action,
  target: `dead_letter:${row.id}`,
  detail: row.owner === viewer.userId ? {} : { owner: row.owner, as: "admin" },
});

export const notPending = (status: DlqStatus) =>
  new AppError(
    "dead_letter_closed",
    `The dead letter is ${status} already; only Pending ones can be changed.`,
  );
