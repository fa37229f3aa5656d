import { Elysia, t } from "elysia";
import type { createGuard } from "../auth/guard.ts";
import type { Config } from "../config.ts";
import type { Orm } from "../db/client.ts";
import { AppError } from "../errors.ts";
import { promptText, requirePromptText } from "../prompts/prompt-text.ts";
import { checkBranchName, parseRepo } from "../sandboxes/repo-url.ts";
import { errorReplies, Id, wireModels } from "../wire.ts";
import { toDto } from "./dto.ts";
import { sessionModels } from "./model.ts";
import { createSession, listSessions, readSession } from "./store.ts";

/** Sessions: create, with or without a first prompt; list; read. */
export function sessionRoutes(options: { orm: Orm; config: Config; guard: ReturnType<typeof createGuard> }) {
  const { orm, config, guard } = options;
  const rules = { githubUrl: config.githubUrl, allowLocal: config.auth.mode !== "oidc" };
  const always = {
    wantsTitle: config.anthropicApiKey !== undefined,
    maxUnfinished: config.maxUnfinishedPrompts,
  };
  const check = (repo: string, targetBranch: string) => {
    parseRepo(repo, rules);
    checkBranchName(targetBranch);
    return { repo, targetBranch };
  };

  return new Elysia()
    .use(guard)
    .model({ ...wireModels, ...sessionModels })
    .get(
      "/sessions",
      async ({ user }) => ({ sessions: (await listSessions(orm, user.id)).map((row) => toDto(row)) }),
      {
        detail: {
          operationId: "handlers_sessions_list",
          summary: "List my sessions, newest first",
          tags: ["Sessions"],
          security: [{ Bearer: [] }],
        },
        response: { 200: "ListSessionsOutput", ...errorReplies(401, 500) },
      },
    )
    .post(
      "/sessions",
      async ({ user, body }) => {
        const wanted = check(body.repo, body.target_branch);
        // A message that was sent must not be lost: it is the first prompt.
        const text = promptText(body.messages);
        const prompt = text === "" ? undefined : { data: body.messages, text };
        const { sessionId } = await createSession(orm, {
          userId: user.id,
          ...wanted,
          parent: body.parent ?? null,
          prompt,
          ...always,
        });
        return { success: true, message: "Session created", id: sessionId };
      },
      {
        parse: "json",
        body: "CreateSessionInput",
        detail: {
          operationId: "handlers_sessions_create",
          summary: "Create a session",
          tags: ["Sessions"],
          security: [{ Bearer: [] }],
        },
        response: { 200: "CreateSessionOutput", ...errorReplies(400, 401, 404, 413, 415, 422, 500) },
      },
    )
    .post(
      "/sessions/with-prompt",
      async ({ user, body }) => {
        const wanted = check(body.repo, body.target_branch);
        const prompt = { data: body.messages, text: requirePromptText(body.messages, "messages") };
        const created = await createSession(orm, {
          userId: user.id,
          ...wanted,
          parent: body.parent_id ?? null,
          prompt,
          ...always,
        });
        if (created.promptId === undefined) throw new AppError("internal", "no prompt was made");
        return {
          success: true,
          message: "Session created, its prompt is on its way",
          sessionId: created.sessionId,
          promptId: created.promptId,
        };
      },
      {
        parse: "json",
        body: "CreateSessionWithPromptInput",
        detail: {
          operationId: "handlers_sessions_create_with_prompt",
          summary: "Create a session and run its first prompt",
          tags: ["Sessions"],
          security: [{ Bearer: [] }],
        },
        response: {
          200: "CreateSessionWithPromptOutput",
          ...errorReplies(400, 401, 404, 413, 415, 422, 500),
        },
      },
    )
    .get(
      "/sessions/:id",
      async ({ user, params }) => {
        const row = await readSession(orm, user.id, params.id);
        return { session: { ...toDto(row), messages: row.messages } };
      },
      {
        params: t.Object({ id: Id }),
        detail: {
          operationId: "handlers_sessions_read",
          summary: "Read a session and its conversation",
          tags: ["Sessions"],
          security: [{ Bearer: [] }],
        },
        response: { 200: "ReadSessionOutput", ...errorReplies(401, 404, 422, 500) },
      },
    );
}
