import { Elysia, t } from "elysia";
import type { createGuard } from "../auth/guard.ts";
import type { Config } from "../config.ts";
import type { Orm } from "../db/client.ts";
import { addPrompt } from "../sessions/store.ts";
import { errorReplies, Id, wireModels } from "../wire.ts";
import { promptModels } from "./model.ts";
import { requirePromptText } from "./prompt-text.ts";
import { listPrompts } from "./store.ts";

/** Prompts: send a follow-up, list a session's. */
export function promptRoutes(options: {
  orm: Orm;
  guard: ReturnType<typeof createGuard>;
  config: Pick<Config, "maxUnfinishedPrompts">;
}) {
  const { orm, guard, config } = options;
  return new Elysia()
    .use(guard)
    .model({ ...wireModels, ...promptModels })
    .post(
      "/prompts",
      async ({ user, body }) => {
        const text = requirePromptText(body.data, "data");
        const id = await addPrompt(orm, {
          userId: user.id,
          sessionId: body.session_id,
          data: body.data,
          text,
          maxUnfinished: config.maxUnfinishedPrompts,
        });
        return { success: true, message: "Prompt accepted", id };
      },
      {
        parse: "json",
        body: "CreatePromptInput",
        detail: {
          operationId: "handlers_prompts_create",
          summary: "Send a follow-up prompt",
          tags: ["Prompts"],
          security: [{ Bearer: [] }],
        },
        response: { 200: "CreatePromptOutput", ...errorReplies(400, 401, 404, 413, 415, 422, 500) },
      },
    )
    .get(
      // One router, one name for what comes after /sessions/; the description gives it the contract's name.
      "/sessions/:id/prompts",
      async ({ user, params }) => ({
        prompts: (await listPrompts(orm, user.id, params.id)).map((row) => ({
          id: row.id,
          session_id: row.sessionId,
          data: row.data,
          seq: row.seq,
          status: row.status,
          attempt: row.attempt,
          error: row.error,
          usage: row.usage,
          started_at: row.startedAt?.toISOString() ?? null,
          finished_at: row.finishedAt?.toISOString() ?? null,
          created_at: row.createdAt.toISOString(),
          updated_at: row.updatedAt.toISOString(),
        })),
      }),
      {
        params: t.Object({ id: Id }),
        detail: {
          operationId: "handlers_prompts_list",
          summary: "List a session's prompts",
          tags: ["Prompts"],
          security: [{ Bearer: [] }],
        },
        response: { 200: "ListPromptsOutput", ...errorReplies(401, 404, 422, 500) },
      },
    );
}
