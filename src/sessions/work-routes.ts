import { Elysia } from "elysia";
import { createOnce } from "../api/idempotency-store.ts";
import {
  idempotencyHeaders,
  idParams,
  optionalBody,
  securedOperation,
  sharedModels,
  writeErrors,
} from "../api/schemas.ts";
import type { Guard } from "../auth/guard.ts";
import type { Config } from "../config/config.ts";
import type { Orm } from "../db/client.ts";
import { addPush } from "../prompts/create-store.ts";
import { forkSession } from "./fork-store.ts";
import { sessionModels } from "./model.ts";

/** What is done with a session's work: push it, or go on from it in another session. */
export function sessionWorkRoutes(options: {
  orm: Orm;
  guard: Guard;
  config: Pick<Config, "branchPrefix" | "maxUnfinishedPrompts">;
}) {
  const { orm, guard, config } = options;
  const { branchPrefix, maxUnfinishedPrompts: maxUnfinished } = config;
  const detail = securedOperation("Sessions");
  return new Elysia()
    .use(guard)
    .model({ ...sharedModels, ...sessionModels })
    .post(
      "/sessions/:id/push",
      async (context) => {
        const wanted = { userId: context.user.id, sessionId: context.params.id, maxUnfinished };
        const { id } = await createOnce(orm, context, (tx) => addPush(tx, wanted));
        return { success: true, message: "Push queued", prompt_id: id };
      },
      {
        params: idParams,
        headers: idempotencyHeaders,
        detail: detail(
          "handlers_sessions_push",
          "Push a session's branch",
          "For work that could not be pushed, once its cause is mended. It is a prompt of kind `push`, without an agent: it waits for the session's earlier prompts, and ends as Completed when the branch is pushed or has nothing to push, or as Failed with the reason.",
        ),
        response: { 200: "PushSessionOutput", ...writeErrors },
      },
    )
    .post(
      "/sessions/:id/fork",
      async (context) => {
        const { user, params, body } = context;
        const { prompt_id: promptId, title } = body ?? {};
        const wanted = {
          userId: user.id,
          sessionId: params.id,
          promptId,
          title: title?.trim(),
          branchPrefix,
        };
        const { sessionId } = await createOnce(orm, context, (tx) => forkSession(tx, wanted));
        return { success: true, message: "Session forked", id: sessionId };
      },
      {
        parse: "json",
        params: idParams,
        body: "ForkSessionInput",
        headers: idempotencyHeaders,
        detail: {
          ...detail(
            "handlers_sessions_fork",
            "Fork a session",
            "A new session that goes on from the end of a prompt: on a new branch from the commit of that time, with the conversation and what the agent remembered then. Its `parent` is the original, which does not change. Send it a prompt to continue.",
          ),
          ...optionalBody,
        },
        response: { 200: "ForkSessionOutput", ...writeErrors },
      },
    );
}
