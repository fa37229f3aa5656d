import { Elysia, t } from "elysia";
import type { createGuard } from "../auth/guard.ts";
import type { Orm } from "../db/client.ts";
import { errorReplies, Id, wireModels } from "../wire.ts";
import { toMessageDto } from "./dto.ts";
import { messageModels } from "./model.ts";
import { listMessages } from "./store.ts";

/** Messages: what the agent said, in order. */
export function messageRoutes(options: { orm: Orm; guard: ReturnType<typeof createGuard> }) {
  const { orm, guard } = options;
  return new Elysia()
    .use(guard)
    .model({ ...wireModels, ...messageModels })
    .get(
      "/prompts/:prompt_id/messages",
      async ({ user, params }) => ({
        messages: (await listMessages(orm, user.id, params.prompt_id)).map(toMessageDto),
      }),
      {
        params: t.Object({ prompt_id: Id }),
        detail: {
          operationId: "handlers_messages_list",
          summary: "List a prompt's messages",
          tags: ["Messages"],
          security: [{ Bearer: [] }],
        },
        response: { 200: "ListMessagesOutput", ...errorReplies(401, 404, 422, 500) },
      },
    );
}
