import { Elysia, t } from "elysia";
import { isUnchanged } from "../api/etag.ts";
import { attemptOf } from "../api/idempotency-key.ts";
import { createOnce } from "../api/idempotency-store.ts";
import {
  errorReplies,
  Id,
  idempotent,
  paging,
  readLimit,
  secured,
  Unchanged,
  wireModels,
} from "../api/schemas.ts";
import type { createGuard } from "../auth/guard.ts";
import type { Orm } from "../db/client.ts";
import { createMessage, deleteMessage, readMessage, updateMessage } from "./change-store.ts";
import { toMessageDto } from "./dto.ts";
import { messageModels } from "./model.ts";
import { listMessages, messagesTag } from "./store.ts";

/** Messages: what the agent said, in order; and what clients add, change and delete while it says nothing. */
export function messageRoutes(options: { orm: Orm; guard: ReturnType<typeof createGuard> }) {
  const { orm, guard } = options;
  const detail = secured("Messages");
  const whileRunning = "While the prompt runs: 409.";
  return new Elysia()
    .use(guard)
    .model({ ...wireModels, ...messageModels })
    .post(
      "/messages",
      async ({ user, body, request, set }) => {
        const attempt = attemptOf({ request, user, operation: "POST /messages", body });
        const { result, replayed } = await createOnce(orm, attempt, (tx) =>
          createMessage(tx, { userId: user.id, promptId: body.prompt_id, data: body.data }),
        );
        if (replayed) set.headers["idempotency-replayed"] = "true";
        return { success: true, message: "Message created", id: result.id };
      },
      {
        parse: "json",
        body: "CreateMessageInput",
        headers: idempotent,
        detail: detail("handlers_messages_create", "Add a message to a prompt", whileRunning),
        response: { 200: "CreateMessageOutput", ...errorReplies(400, 401, 404, 409, 413, 415, 422, 500) },
      },
    )
    .get(
      "/messages/:id",
      async ({ user, params }) => ({
        message: toMessageDto(await readMessage(orm, { userId: user.id, id: params.id })),
      }),
      {
        params: t.Object({ id: Id }),
        detail: detail("handlers_messages_read", "Read a message"),
        response: { 200: "ReadMessageOutput", ...errorReplies(401, 404, 422, 500) },
      },
    )
    .put(
      "/messages/:id",
      async ({ user, params, body }) => {
        await updateMessage(orm, { userId: user.id, id: params.id, data: body.data });
        return { success: true, message: "Message changed" };
      },
      {
        parse: "json",
        params: t.Object({ id: Id }),
        body: "UpdateMessageInput",
        detail: detail("handlers_messages_update", "Change a message", whileRunning),
        response: { 200: "UpdateMessageOutput", ...errorReplies(400, 401, 404, 409, 413, 415, 422, 500) },
      },
    )
    .delete(
      "/messages/:id",
      async ({ user, params }) => {
        await deleteMessage(orm, { userId: user.id, id: params.id });
        return { success: true, message: "Message deleted" };
      },
      {
        params: t.Object({ id: Id }),
        detail: detail("handlers_messages_delete", "Delete a message", whileRunning),
        response: { 200: "DeleteMessageOutput", ...errorReplies(400, 401, 404, 409, 413, 415, 422, 500) },
      },
    )
    .get(
      // As with a session's prompts: the description gives the parameter the contract's name.
      "/prompts/:id/messages",
      async ({ user, params, query, request, set, status }) => {
        const wanted = { userId: user.id, promptId: params.id, ...query };
        const tag = await messagesTag(orm, wanted);
        if (isUnchanged({ request, set, tag })) return status(304, undefined);
        const { rows, next } = await listMessages(orm, wanted);
        return { messages: rows.map(toMessageDto), ...(query.limit !== undefined && { next_cursor: next }) };
      },
      {
        params: t.Object({ id: Id }),
        query: t.Object(paging),
        transform: readLimit,
        detail: detail(
          "handlers_messages_list",
          "List a prompt's messages, in their order",
          "Asked with If-None-Match, it costs one look at the prompt while nothing is new.",
        ),
        response: { 200: "ListMessagesOutput", 304: Unchanged, ...errorReplies(401, 404, 422, 500) },
      },
    );
}
