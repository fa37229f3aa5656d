import { Elysia, t } from "elysia";
import { isUnchanged, weakEtag } from "../api/etag.ts";
import { nextCursor } from "../api/paging.ts";
import {
  idParams,
  NotModified,
  paging,
  parseLimit,
  readErrors,
  securedOperation,
  sharedModels,
  writeErrors,
} from "../api/schemas.ts";
import type { Guard } from "../auth/guard.ts";
import type { Orm } from "../db/client.ts";
import type { Metrics } from "../observability/metrics.ts";
import { toPermissionDto } from "./dto.ts";
import { PermissionStatus, permissionModels } from "./model.ts";
import { answerPermission, listPermissions } from "./store.ts";

/** Questions of agents that ask before they act: list those of a session, and answer one. */
export function permissionRoutes({ orm, guard, metrics }: { orm: Orm; guard: Guard; metrics: Metrics }) {
  const detail = securedOperation("Permissions");
  return new Elysia()
    .use(guard)
    .model({ ...sharedModels, ...permissionModels })
    .get(
      "/sessions/:id/permissions",
      async (context) => {
        const { user, params, query, status } = context;
        const page = await listPermissions(orm, { userId: user.id, sessionId: params.id, ...query });
        const reply = { permissions: page.rows.map(toPermissionDto), ...nextCursor(query, page) };
        if (isUnchanged(context, weakEtag("permissions", reply))) return status(304, undefined);
        return reply;
      },
      {
        params: idParams,
        query: t.Object({ ...paging, status: t.Optional(PermissionStatus) }),
        transform: parseLimit,
        detail: detail(
          "handlers_permissions_list",
          "List what a session's agents have asked",
          "In the order in which they asked. While one is pending its prompt has `waiting_for: permission`.",
        ),
        response: { 200: "ListPermissionsOutput", 304: NotModified, ...readErrors },
      },
    )
    .post(
      "/permissions/:id/answer",
      async ({ user, params, body }) => {
        const { decision, reason = null } = body;
        const ms = await answerPermission(orm, { userId: user.id, id: params.id, decision, reason });
        metrics.permissionAnswered(decision, ms / 1000);
        return { success: true, message: decision === "deny" ? "Denied" : "Allowed" };
      },
      {
        parse: "json",
        params: idParams,
        body: "AnswerPermissionInput",
        detail: detail(
          "handlers_permissions_answer",
          "Answer what an agent asks",
          "Once: what was answered, has expired (PERMISSION_TIMEOUT_MINUTES), or whose run has ended gets 409. The answer reaches the agent also if its worker is restarted meanwhile.",
        ),
        response: { 200: "AnswerPermissionOutput", ...writeErrors },
      },
    );
}
