import { Elysia, t } from "elysia";
import { ifMatchOf, isUnchanged } from "../api/etag.ts";
import { createOnce } from "../api/idempotency-store.ts";
import { jsonText, listText } from "../api/json-text.ts";
import {
  idempotencyHeaders,
  idParams,
  jsonTextOf,
  NotModified,
  paging,
  parseLimit,
  readErrors,
  securedOperation,
  sharedModels,
  updateErrors,
  writeErrors,
} from "../api/schemas.ts";
import type { Guard } from "../auth/guard.ts";
import type { Orm } from "../db/client.ts";
import { createMessage, deleteMessage, updateMessage } from "./change-store.ts";
import { messageModels } from "./model.ts";
import { listMessages, readMessage } from "./store.ts";

/** Messages: the agent's output, in order. Clients may create, update and delete them while the prompt is not running. */
export function messageRoutes(options: { orm: Orm; guard: Guard }) {
  const { orm, guard } = options;
  const detail = securedOperation("Messages");
  const notRunning = "While the prompt is running: 409.";
  return new Elysia()
    .use(guard)
    .model({ ...sharedModels, ...messageModels })
    .post(
      "/messages",
      async (context) => {
        const { prompt_id: promptId, data } = context.body;
        const userId = context.user.id;
        const { id } = await createOnce(orm, context, (tx) => createMessage(tx, { userId, promptId, data }));
        return { success: true, message: "Message created", id };
      },
      {
        parse: "json",
        body: "CreateMessageInput",
        headers: idempotencyHeaders,
        detail: detail("handlers_messages_create", "Create a message", notRunning),
        response: { 200: "CreateMessageOutput", ...writeErrors },
      },
    )
    .get(
      "/messages/:id",
      async ({ user, params, request, set, status }) => {
        const ifNoneMatch = request.headers.get("if-none-match");
        const { etag, json } = await readMessage(orm, { userId: user.id, id: params.id, ifNoneMatch });
        if (isUnchanged({ request, set }, etag) || json === null) return status(304, undefined);
        return jsonText(set, `{"message":${json}}`);
      },
      {
        params: idParams,
        detail: detail("handlers_messages_read", "Get a message"),
        response: { 200: jsonTextOf("ReadMessageOutput"), 304: NotModified, ...readErrors },
      },
    )
    .put(
      "/messages/:id",
      async ({ user, params, body, request }) => {
        const ifMatch = ifMatchOf(request);
        await updateMessage(orm, { userId: user.id, id: params.id, ifMatch, data: body.data });
        return { success: true, message: "Message updated" };
      },
      {
        parse: "json",
        params: idParams,
        body: "UpdateMessageInput",
        detail: detail("handlers_messages_update", "Update a message", notRunning),
        response: { 200: "UpdateMessageOutput", ...updateErrors },
      },
    )
    .delete(
      "/messages/:id",
      async ({ user, params }) => {
        await deleteMessage(orm, { userId: user.id, id: params.id });
        return { success: true, message: "Message deleted" };
      },
      {
        params: idParams,
        detail: detail("handlers_messages_delete", "Delete a message", notRunning),
        response: { 200: "DeleteMessageOutput", ...writeErrors },
      },
    )
    .get(
      // Elysia allows one parameter name after /prompts/; server/openapi.ts documents the contract's name.
      "/prompts/:id/messages",
      async ({ user, params, query, request, set, status }) => {
        const wanted = { userId: user.id, ownerId: params.id, ...query };
        const { etag, page } = await listMessages(orm, wanted, request.headers.get("if-none-match"));
        if (isUnchanged({ request, set }, etag) || !page) return status(304, undefined);
        return jsonText(set, listText("messages", query, page));
      },
      {
        params: idParams,
        query: t.Object(paging),
        transform: parseLimit,
        detail: detail(
          "handlers_messages_list",
          "List a prompt's messages",
          "In the order of their `seq`. With If-None-Match, polling an unchanged list only reads the prompt's version.",
        ),
        response: { 200: jsonTextOf("ListMessagesOutput"), 304: NotModified, ...readErrors },
      },
    );
}
