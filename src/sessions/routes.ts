import { Elysia, t } from "elysia";
import { isUnchanged, putTag } from "../api/etag.ts";
import { errorReplies, Id, readLimit, secured, Unchanged, wireModels } from "../api/schemas.ts";
import type { createGuard } from "../auth/guard.ts";
import type { Config } from "../config/config.ts";
import type { Orm } from "../db/client.ts";
import { AppError } from "../shared/errors.ts";
import { cancelSession, deleteSession, updateSession } from "./change-store.ts";
import { sessionCreationRoutes } from "./create-routes.ts";
import { toDto } from "./dto.ts";
import { listSessions, sessionsTag } from "./list-store.ts";
import { sessionModels, sessionQuery } from "./model.ts";
import { createPlaceCheck } from "./repo-target.ts";
import { readSession, sessionTag, sessionVersion } from "./store.ts";

/** Sessions: create, list, read, change, cancel, delete. */
export function sessionRoutes(options: { orm: Orm; config: Config; guard: ReturnType<typeof createGuard> }) {
  const { orm, config, guard } = options;
  const check = createPlaceCheck(config);
  const detail = secured("Sessions");

  return new Elysia()
    .use(sessionCreationRoutes({ orm, config, guard, check }))
    .use(guard)
    .model({ ...wireModels, ...sessionModels })
    .get(
      "/sessions",
      async ({ user, query, request, set, status }) => {
        const tag = await sessionsTag(orm, user.id, query);
        if (isUnchanged({ request, set, tag })) return status(304, undefined);
        const { rows, next } = await listSessions(orm, user.id, query);
        return { sessions: rows.map(toDto), ...(query.limit !== undefined && { next_cursor: next }) };
      },
      {
        query: sessionQuery,
        transform: readLimit,
        detail: detail(
          "handlers_sessions_list",
          "List my sessions",
          "All of them, newest first, without their conversations; with a limit, a page at a time.",
        ),
        response: { 200: "ListSessionsOutput", 304: Unchanged, ...errorReplies(401, 422, 500) },
      },
    )
    .get(
      "/sessions/:id",
      async ({ user, params, request, set, status }) => {
        const { id } = params;
        // Conversations may be long: who has it already costs no more than a look at its version.
        if (request.headers.has("if-none-match")) {
          const tag = sessionTag(id, await sessionVersion(orm, user.id, id));
          if (isUnchanged({ request, set, tag })) return status(304, undefined);
        }
        const row = await readSession(orm, user.id, id);
        putTag(set, sessionTag(id, row.version));
        return { session: { ...toDto(row), messages: row.messages } };
      },
      {
        params: t.Object({ id: Id }),
        detail: detail("handlers_sessions_read", "Read a session and its conversation"),
        response: { 200: "ReadSessionOutput", 304: Unchanged, ...errorReplies(401, 404, 422, 500) },
      },
    )
    .put(
      "/sessions/:id",
      async ({ user, params, body }) => {
        const { id, target_branch: targetBranch, sbx_config: sbxConfig, ui_status: uiStatus, ...rest } = body;
        if (id.toLowerCase() !== params.id.toLowerCase())
          throw new AppError("invalid", "id: must be the same as in the path.");
        check({ ...rest, targetBranch });
        await updateSession(orm, {
          userId: user.id,
          id,
          change: { ...rest, title: rest.title?.trim(), targetBranch, sbxConfig, uiStatus },
        });
        return { success: true, message: "Session updated" };
      },
      {
        parse: "json",
        params: t.Object({ id: Id }),
        body: "UpdateSessionInput",
        detail: detail(
          "handlers_sessions_update",
          "Change, archive or take up a session",
          "What is left out or null stays, except a null parent. Archived stays archived until a NeedsReview or a new prompt.",
        ),
        response: { 200: "UpdateSessionOutput", ...errorReplies(400, 401, 404, 409, 413, 415, 422, 500) },
      },
    )
    .delete(
      "/sessions/:id",
      async ({ user, params }) => {
        await deleteSession(orm, { userId: user.id, id: params.id });
        return { success: true, message: "Session deleted" };
      },
      {
        params: t.Object({ id: Id }),
        detail: detail(
          "handlers_sessions_delete",
          "Delete a session",
          "What waits never starts, what runs is ended, and the sandbox goes back. Branches that were pushed stay.",
        ),
        response: { 200: "DeleteSessionOutput", ...errorReplies(400, 401, 404, 413, 415, 422, 500) },
      },
    )
    .post(
      "/sessions/:id/cancel",
      async ({ user, params }) => {
        await cancelSession(orm, { userId: user.id, id: params.id });
        return { success: true, message: "Cancelled; what still runs is being ended" };
      },
      {
        params: t.Object({ id: Id }),
        detail: detail(
          "handlers_sessions_cancel",
          "Cancel what a session does",
          "Answers at once, in every state, and twice. Work that was done stays on the branch; a later prompt runs.",
        ),
        response: { 200: "CancelSessionOutput", ...errorReplies(400, 401, 404, 413, 415, 422, 500) },
      },
    );
}
