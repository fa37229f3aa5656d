import { Elysia } from "elysia";
import { promptText, requirePromptText } from "../agents/prompt-text.ts";
import { attemptOf } from "../api/idempotency-key.ts";
import { createOnce } from "../api/idempotency-store.ts";
import { errorReplies, idempotent, secured, wireModels } from "../api/schemas.ts";
import type { createGuard } from "../auth/guard.ts";
import type { Config } from "../config/config.ts";
import type { Orm } from "../db/client.ts";
import { AppError } from "../shared/errors.ts";
import { createSession } from "./create-store.ts";
import { sessionModels } from "./model.ts";
import type { CheckPlace } from "./repo-target.ts";

/** New sessions, with or without a first prompt. */
export function sessionCreationRoutes(options: {
  orm: Orm;
  config: Pick<Config, "anthropicApiKey" | "maxUnfinishedPrompts">;
  guard: ReturnType<typeof createGuard>;
  check: CheckPlace;
}) {
  const { orm, config, guard, check } = options;
  const always = {
    wantsTitle: config.anthropicApiKey !== undefined,
    maxUnfinished: config.maxUnfinishedPrompts,
  };
  const detail = secured("Sessions");
  const replies = errorReplies(400, 401, 404, 409, 413, 415, 422, 500);

  return new Elysia()
    .use(guard)
    .model({ ...wireModels, ...sessionModels })
    .post(
      "/sessions",
      async ({ user, body, request, set }) => {
        const { repo, target_branch: targetBranch, parent = null, messages, priority = 0 } = body;
        check({ repo, targetBranch });
        // A message that was sent must not be lost: it is the first prompt.
        const text = promptText(messages);
        const prompt = text === "" ? undefined : { data: messages, text, priority };
        const attempt = attemptOf({ request, user, operation: "POST /sessions", body });
        const { result, replayed } = await createOnce(orm, attempt, (tx) =>
          createSession(tx, { userId: user.id, repo, targetBranch, parent, prompt, ...always }),
        );
        if (replayed) set.headers["idempotency-replayed"] = "true";
        return { success: true, message: "Session created", id: result.sessionId };
      },
      {
        parse: "json",
        body: "CreateSessionInput",
        headers: idempotent,
        detail: detail(
          "handlers_sessions_create",
          "Create a session",
          "With messages, they are its first prompt, and it runs; without, it waits for one.",
        ),
        response: { 200: "CreateSessionOutput", ...replies },
      },
    )
    .post(
      "/sessions/with-prompt",
      async ({ user, body, request, set }) => {
        const { repo, target_branch: targetBranch, parent_id: parent = null, messages, priority = 0 } = body;
        check({ repo, targetBranch });
        const prompt = { data: messages, text: requirePromptText(messages, "messages"), priority };
        const attempt = attemptOf({ request, user, operation: "POST /sessions/with-prompt", body });
        const { result, replayed } = await createOnce(orm, attempt, (tx) =>
          createSession(tx, { userId: user.id, repo, targetBranch, parent, prompt, ...always }),
        );
        if (result.promptId === undefined) throw new AppError("internal", "no prompt was made");
        if (replayed) set.headers["idempotency-replayed"] = "true";
        return {
          success: true,
          message: "Session created, its prompt is on its way",
          sessionId: result.sessionId,
          promptId: result.promptId,
        };
      },
      {
        parse: "json",
        body: "CreateSessionWithPromptInput",
        headers: idempotent,
        detail: detail(
          "handlers_sessions_create_with_prompt",
          "Create a session and run its first prompt",
          "Title and branch are there at once, made from the prompt; a better title may come later.",
        ),
        response: { 200: "CreateSessionWithPromptOutput", ...replies },
      },
    );
}
