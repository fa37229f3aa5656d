import { Elysia, t } from "elysia";
import { requirePromptText } from "../agents/prompt-text.ts";
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
import type { Config } from "../config/config.ts";
import type { Orm } from "../db/client.ts";
import { readOwnPrompt } from "../lifecycle/ownership.ts";
import { deletePrompt, updatePrompt } from "./change-store.ts";
import { addPrompt } from "./create-store.ts";
import { toPromptDto } from "./dto.ts";
import { promptModels } from "./model.ts";
import { listPrompts, promptsTag } from "./store.ts";

/** Prompts: send a follow-up; list a session's; read, change and delete one. */
export function promptRoutes(options: {
  orm: Orm;
  guard: ReturnType<typeof createGuard>;
  config: Pick<Config, "maxUnfinishedPrompts">;
}) {
  const { orm, guard, config } = options;
  const detail = secured("Prompts");
  return new Elysia()
    .use(guard)
    .model({ ...wireModels, ...promptModels })
    .post(
      "/prompts",
      async ({ user, body, request, set }) => {
        const { session_id: sessionId, data, priority = 0 } = body;
        const text = requirePromptText(data, "data");
        const attempt = attemptOf({ request, user, operation: "POST /prompts", body });
        const { result, replayed } = await createOnce(orm, attempt, (tx) =>
          addPrompt(tx, {
            userId: user.id,
            sessionId,
            data,
            text,
            priority,
            maxUnfinished: config.maxUnfinishedPrompts,
          }),
        );
        if (replayed) set.headers["idempotency-replayed"] = "true";
        return { success: true, message: "Prompt accepted", id: result.id };
      },
      {
        parse: "json",
        body: "CreatePromptInput",
        headers: idempotent,
        detail: detail(
          "handlers_prompts_create",
          "Send a follow-up prompt",
          "It runs when those before it have ended.",
        ),
        response: { 200: "CreatePromptOutput", ...errorReplies(400, 401, 404, 409, 413, 415, 422, 500) },
      },
    )
    .get(
      "/prompts/:id",
      async ({ user, params }) => ({ prompt: toPromptDto(await readOwnPrompt(orm, user.id, params.id)) }),
      {
        params: t.Object({ id: Id }),
        detail: detail("handlers_prompts_read", "Read a prompt"),
        response: { 200: "ReadPromptOutput", ...errorReplies(401, 404, 422, 500) },
      },
    )
    .put(
      "/prompts/:id",
      async ({ user, params, body }) => {
        const text = requirePromptText(body.data, "data");
        await updatePrompt(orm, { userId: user.id, id: params.id, data: body.data, text });
        return { success: true, message: "Prompt changed" };
      },
      {
        parse: "json",
        params: t.Object({ id: Id }),
        body: "UpdatePromptInput",
        detail: detail("handlers_prompts_update", "Change a prompt that waits", "Once it has started: 409."),
        response: { 200: "UpdatePromptOutput", ...errorReplies(400, 401, 404, 409, 413, 415, 422, 500) },
      },
    )
    .delete(
      "/prompts/:id",
      async ({ user, params }) => {
        await deletePrompt(orm, { userId: user.id, id: params.id });
        return { success: true, message: "Prompt deleted" };
      },
      {
        params: t.Object({ id: Id }),
        detail: detail("handlers_prompts_delete", "Delete a prompt that waits", "Once it has started: 409."),
        response: { 200: "DeletePromptOutput", ...errorReplies(400, 401, 404, 409, 413, 415, 422, 500) },
      },
    )
    .get(
      // One router, one name for what comes after /sessions/; the description gives it the contract's name.
      "/sessions/:id/prompts",
      async ({ user, params, query, request, set, status }) => {
        const wanted = { userId: user.id, sessionId: params.id, ...query };
        const tag = await promptsTag(orm, wanted);
        if (isUnchanged({ request, set, tag })) return status(304, undefined);
        const { rows, next } = await listPrompts(orm, wanted);
        return { prompts: rows.map(toPromptDto), ...(query.limit !== undefined && { next_cursor: next }) };
      },
      {
        params: t.Object({ id: Id }),
        query: t.Object(paging),
        transform: readLimit,
        detail: detail("handlers_prompts_list", "List a session's prompts, in their order"),
        response: { 200: "ListPromptsOutput", 304: Unchanged, ...errorReplies(401, 404, 422, 500) },
      },
    );
}
