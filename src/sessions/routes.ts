import { Elysia } from "elysia";
import { ifMatchOf, isUnchanged } from "../api/etag.ts";
import { jsonText } from "../api/json-text.ts";
import {
  errorResponses,
  idParams,
  jsonTextOf,
  NotModified,
  optionalBody,
  parseLimit,
  readErrors,
  securedOperation,
  sharedModels,
  updateErrors,
} from "../api/schemas.ts";
import type { Guard } from "../auth/guard.ts";
import type { Config } from "../config/config.ts";
import type { Orm } from "../db/client.ts";
import type { Reviews } from "../review/reviews.ts";
import { AppError } from "../shared/errors.ts";
import { cancelSession, deleteSession, updateSession } from "./change-store.ts";
import { sessionCreationRoutes } from "./create-routes.ts";
import { sessionEgressRoutes } from "./egress-routes.ts";
import { openSessionLists } from "./list-store.ts";
import { sessionModels, sessionQuery } from "./model.ts";
import { openSessionReads } from "./read-store.ts";
import { createRepoTargetCheck } from "./repo-target.ts";
import { markSeen } from "./seen-store.ts";
import { sessionSyncRoutes } from "./sync-routes.ts";
import { sessionWorkRoutes } from "./work-routes.ts";

/** Sessions: create, list, read, update, mark as seen, push, fork, cancel, delete. */
export function sessionRoutes(options: { orm: Orm; config: Config; guard: Guard; reviews: Reviews }) {
  const { orm, config, guard, reviews } = options;
  const check = createRepoTargetCheck(config);
  const list = openSessionLists(orm);
  const read = openSessionReads(orm);
  const detail = securedOperation("Sessions");
  // Without 409: cancelling, deleting and marking are possible in every state.
  const errors = errorResponses(400, 401, 404, 413, 415, 422, 500);

  return new Elysia()
    .use(sessionCreationRoutes({ orm, config, guard, check }))
    .use(sessionWorkRoutes({ orm, config, guard }))
    .use(sessionSyncRoutes({ orm, config, guard, reviews }))
    .use(sessionEgressRoutes({ orm, guard }))
    .use(guard)
    .model({ ...sharedModels, ...sessionModels })
    .get(
      "/sessions",
      // Elysia parses for a route what it names: not the whole context, or cookies, too.
      async ({ user, query, request, set, status }) => {
        const { etag, json } = await list(user.id, query, request.headers.get("if-none-match"));
        if (isUnchanged({ request, set }, etag) || json === undefined) return status(304, undefined);
        return jsonText(set, json);
      },
      {
        query: sessionQuery,
        transform: parseLimit,
        detail: detail(
          "handlers_sessions_list",
          "List sessions",
          "All sessions of the current user, newest first, without their conversations; with a limit, one page.",
        ),
        response: {
          200: jsonTextOf("ListSessionsOutput"),
          304: NotModified,
          ...errorResponses(401, 422, 500),
        },
      },
    )
    .get(
      "/sessions/:id",
      async ({ user, params, request, set, status }) => {
        const ifNoneMatch = request.headers.get("if-none-match");
        const { etag, json } = await read({ userId: user.id, id: params.id, ifNoneMatch });
        if (isUnchanged({ request, set }, etag) || json === null) return status(304, undefined);
        return jsonText(set, `{"session":${json}}`);
      },
      {
        params: idParams,
        detail: detail("handlers_sessions_read", "Get a session and its conversation"),
        response: { 200: jsonTextOf("ReadSessionOutput"), 304: NotModified, ...readErrors },
      },
    )
    .put(
      "/sessions/:id",
      async ({ user, params, body, request }) => {
        const { id, target_branch: targetBranch, sbx_config: sbxConfig, ui_status: uiStatus, ...rest } = body;
        if (id.toLowerCase() !== params.id.toLowerCase())
          throw new AppError("invalid", "id: must be the same as in the path.");
        check({ ...rest, targetBranch });
        await updateSession(orm, {
          userId: user.id,
          id,
          ifMatch: ifMatchOf(request),
          branchPrefix: config.branchPrefix,
          change: { ...rest, title: rest.title?.trim(), targetBranch, sbxConfig, uiStatus },
        });
        return { success: true, message: "Session updated" };
      },
      {
        parse: "json",
        params: idParams,
        body: "UpdateSessionInput",
        detail: detail(
          "handlers_sessions_update",
          "Update a session",
          "Fields that are missing or null stay unchanged, except that a null parent removes it. An archived session stays archived until it is set to NeedsReview or gets a new prompt.",
        ),
        response: { 200: "UpdateSessionOutput", ...updateErrors },
      },
    )
    .put(
      "/sessions/:id/seen",
      async ({ user, params, body }) => {
        const unread = body?.unread ?? false;
        await markSeen(orm, { userId: user.id, id: params.id, unread });
        return { success: true, message: unread ? "Marked as unread" : "Marked as seen" };
      },
      {
        parse: "json",
        params: idParams,
        body: "MarkSessionSeenInput",
        detail: {
          ...detail(
            "handlers_sessions_seen",
            "Mark a session as seen",
            "Clears `unread` until the next run ends; the streams of its user tell it. Does not change `updatedAt`.",
          ),
          ...optionalBody,
        },
        response: { 200: "MarkSessionSeenOutput", ...errors },
      },
    )
    .delete(
      "/sessions/:id",
      async ({ user, params }) => {
        await deleteSession(orm, { userId: user.id, id: params.id });
        return { success: true, message: "Session deleted" };
      },
      {
        params: idParams,
        detail: detail(
          "handlers_sessions_delete",
          "Delete a session",
          "Queued prompts never start, a running one is cancelled, and the sandbox is returned. Pushed branches remain.",
        ),
        response: { 200: "DeleteSessionOutput", ...errors },
      },
    )
    .post(
      "/sessions/:id/cancel",
      async ({ user, params }) => {
        await cancelSession(orm, { userId: user.id, id: params.id });
        return { success: true, message: "Session cancelled; a running prompt is being stopped" };
      },
      {
        params: idParams,
        detail: detail(
          "handlers_sessions_cancel",
          "Cancel a session",
          "Cancels its queued and running prompts. Returns at once; allowed in every state and safe to repeat. Completed work stays on the branch, and later prompts run.",
        ),
        response: { 200: "CancelSessionOutput", ...errors },
      },
    );
}
