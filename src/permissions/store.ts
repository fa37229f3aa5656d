import { and, eq, getTableColumns, inArray, sql } from "drizzle-orm";
import type { Page, PageQuery } from "../api/paging.ts";
import { recordAudit } from "../db/audit-log.ts";
import { type Orm, rowsOf } from "../db/client.ts";
import { session } from "../db/tables.ts";
import { permissionRequest } from "../db/talk-tables.ts";
import { lockUnfinished } from "../lifecycle/locks.ts";
import { listOwned } from "../lifecycle/owned-lists.ts";
import { isOwnedSession } from "../lifecycle/ownership.ts";
import { followQuestions, notifyMail } from "../lifecycle/questions.ts";
import { AppError, notFound } from "../shared/errors.ts";
import type { PermissionRow } from "./dto.ts";
import type { PermissionDecision, PermissionDto } from "./model.ts";

const STATUS = { allow: "allowed", allow_run: "allowed_run", deny: "denied" } as const;

/** What a session's agents have asked, in order. @throws AppError `session_not_found` */
export const listPermissions = (
  orm: Orm,
  {
    sessionId,
    status,
    ...query
  }: PageQuery & { userId: string; sessionId: string; status?: PermissionDto["status"] | undefined },
): Promise<Page<PermissionRow>> =>
  listOwned(
    orm,
    { ...query, ownerId: sessionId },
    {
      owner: "session",
      of: permissionRequest.sessionId,
      fields: getTableColumns(permissionRequest),
      where:
        status &&
        inArray(permissionRequest.status, status === "allowed" ? ["allowed", "allowed_run"] : [status]),
    },
  );

/**
 * Answers a question of an agent, once: its runner, wherever it is, is notified and delivers the answer.
 * @returns how long it was open, milliseconds. @throws AppError `permission_not_found`, `permission_closed`
 */
export async function answerPermission(
  orm: Orm,
  wanted: { userId: string; id: string; decision: PermissionDecision; reason: string | null },
): Promise<number> {
  const { userId, id, decision, reason } = wanted;
  return orm.transaction(async (tx) => {
    const read = async () => {
      const [row] = await tx
        .select({ one: permissionRequest })
        .from(permissionRequest)
        .innerJoin(session, eq(session.id, permissionRequest.sessionId))
        .where(and(eq(permissionRequest.id, id), isOwnedSession(userId)));
      if (!row) throw notFound("permission", id);
      return row.one;
    };
    const { sessionId, promptId, tool } = await read();
    // Its run neither ends nor asks more meanwhile.
    await lockUnfinished(tx, sessionId);
    const [answered] = await rowsOf<{ ms: string }>(
      tx,
      sql`update permission_request q set status = ${STATUS[decision]}, reason = ${reason}::text,
          answered_by = ${userId}, answered_at = now(), updated_at = now()
        from prompt p where q.id = ${id}::uuid and q.status = 'pending' and q.expires_at > now()
          and p.id = q.prompt_id and p.status = 'Running' and p.cancel_requested_at is null
        returning (extract(epoch from now() - q.asked_at) * 1000)::text as ms`,
    );
    if (!answered) throw closed(await read());
    await followQuestions(tx, promptId);
    await notifyMail(tx, promptId);
    await recordAudit(tx, {
      actor: userId,
      action: "permission.answer",
      target: `permission:${id}`,
      detail: { session: sessionId, prompt: promptId, tool, decision },
    });
    return Math.max(0, Number(answered.ms));
  });
}

function closed({ status }: PermissionRow): AppError {
  const why =
    status === "pending" || status === "expired"
      ? "its time is over, so that it is denied."
      : status === "cancelled"
        ? "the agent has withdrawn it, or its run has ended."
        : "it was answered already.";
  return new AppError("permission_closed", `The question cannot be answered any more: ${why}`);
}
