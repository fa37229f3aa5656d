import { Elysia, t } from "elysia";
import { isUnchanged, weakEtag } from "../api/etag.ts";
import { createOnce } from "../api/idempotency-store.ts";
import { nextCursor } from "../api/paging.ts";
import {
  idempotencyHeaders,
  idParams,
  NotModified,
  optionalBody,
  paging,
  parseLimit,
  readErrors,
  securedOperation,
  sharedModels,
  writeErrors,
} from "../api/schemas.ts";
import { authorOf } from "../auth/claims.ts";
import type { Guard } from "../auth/guard.ts";
import type { Config } from "../config/config.ts";
import type { Orm } from "../db/client.ts";
import type { Reviews } from "../review/reviews.ts";
import { toCommentDto } from "./dto.ts";
import { commentModels } from "./model.ts";
import { linesIn, quoteCode } from "./quote.ts";
import { sendComments } from "./send-store.ts";
import { commentsVersion, createComment, deleteComment, listComments, updateComment } from "./store.ts";
import { findComments, workIfReadable } from "./whereabouts.ts";

/** Comments on what a session has done: make, list, change and delete them, and send them to the agent. */
export function commentRoutes(options: {
  orm: Orm;
  guard: Guard;
  config: Pick<Config, "maxUnfinishedPrompts">;
  reviews: Pick<Reviews, "work" | "commitOf" | "show" | "diff" | "readAhead">;
}) {
  const { orm, guard, config, reviews } = options;
  const { maxUnfinishedPrompts: maxUnfinished } = config;
  const detail = securedOperation("Comments");
  return new Elysia()
    .use(guard)
    .model({ ...sharedModels, ...commentModels })
    .get(
      "/sessions/:id/comments",
      async (context) => {
        const { user, params, query, status } = context;
        const wanted = { userId: user.id, sessionId: params.id, ...query };
        const version = await commentsVersion(orm, wanted);
        // Without comments there is nothing to look for.
        const work = version === 0 ? undefined : await workIfReadable(reviews, wanted);
        const { limit, cursor } = query;
        const tag = weakEtag(
          "comments",
          params.id.toLowerCase(),
          limit,
          cursor,
          version,
          work?.base,
          work?.head,
        );
        if (isUnchanged(context, tag)) return status(304, undefined);
        const page = await listComments(orm, wanted);
        const found = await findComments(reviews, work, page.rows);
        return { comments: found.map(toCommentDto), ...nextCursor(query, page) };
      },
      {
        params: idParams,
        query: t.Object(paging),
        transform: parseLimit,
        detail: detail(
          "handlers_comments_list",
          "List a session's comments",
          "In the order in which they were made. `current` follows the session's branch: a comment moves with its lines, also into a renamed file, and is outdated once they were changed or deleted.",
        ),
        response: { 200: "ListCommentsOutput", 304: NotModified, ...readErrors },
      },
    )
    .post(
      "/sessions/:id/comments",
      async (context) => {
        const { user, params, body } = context;
        const { path, commit, side, text } = body;
        const lines = linesIn(body);
        const wanted = { userId: user.id, sessionId: params.id };
        const work = await reviews.work(wanted.userId, wanted.sessionId);
        const code = await quoteCode(reviews, work, { path, commit, lines });
        const comment = { path, commit, side, lines, text, code };
        const { id } = await createOnce(orm, context, (tx) => createComment(tx, { ...wanted, comment }));
        return { success: true, message: "Comment created", id };
      },
      {
        parse: "json",
        params: idParams,
        body: "CreateCommentInput",
        headers: idempotencyHeaders,
        detail: detail(
          "handlers_comments_create",
          "Create a comment on lines or on a file",
          "Path and lines are those of the file in `commit`, which must be of the session or of its target branch. It stays open until it is sent; a session has at most 500 open ones.",
        ),
        response: { 200: "CreateCommentOutput", ...writeErrors },
      },
    )
    .post(
      "/sessions/:id/comments/send",
      async (context) => {
        const { user, params, body } = context;
        const wanted = {
          ...{ userId: user.id, author: authorOf(user), sessionId: params.id, maxUnfinished },
          ...{ commentIds: body?.comment_ids, introduction: body?.text },
        };
        const { promptId } = await createOnce(orm, context, (tx) => sendComments(tx, wanted));
        return { success: true, message: "Prompt queued", prompt_id: promptId };
      },
      {
        parse: "json",
        params: idParams,
        body: "SendCommentsInput",
        headers: idempotencyHeaders,
        detail: {
          ...detail(
            "handlers_comments_send",
            "Send comments to the agent",
            "Makes the open comments, or those named, into one follow-up prompt that quotes path, lines and code of each. It runs after the session's earlier prompts. If it is deleted before it runs, its comments are open again.",
          ),
          ...optionalBody,
        },
        response: { 200: "SendCommentsOutput", ...writeErrors },
      },
    )
    .put(
      "/comments/:id",
      async ({ user, params, body }) => {
        await updateComment(orm, { userId: user.id, id: params.id, text: body.text });
        return { success: true, message: "Comment updated" };
      },
      {
        parse: "json",
        params: idParams,
        body: "UpdateCommentInput",
        detail: detail(
          "handlers_comments_update",
          "Update a comment",
          "Only while it is open; once it is sent: 409.",
        ),
        response: { 200: "UpdateCommentOutput", ...writeErrors },
      },
    )
    .delete(
      "/comments/:id",
      async ({ user, params }) => {
        await deleteComment(orm, { userId: user.id, id: params.id });
        return { success: true, message: "Comment deleted" };
      },
      {
        params: idParams,
        detail: detail(
          "handlers_comments_delete",
          "Delete a comment",
          "The prompt that quotes it, if any, does not change.",
        ),
        response: { 200: "DeleteCommentOutput", ...writeErrors },
      },
    );
}
