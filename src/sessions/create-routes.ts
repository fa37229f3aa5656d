import { Elysia } from "elysia";
import { createAtOnce, createOnce } from "../api/idempotency-store.ts";
import { idempotencyHeaders, securedOperation, sharedModels, writeErrors } from "../api/schemas.ts";
import { readPromptData, requirePromptData, type SubmittedPrompt } from "../attachments/read-prompt.ts";
import { authorOf, type User } from "../auth/claims.ts";
import type { Guard } from "../auth/guard.ts";
import type { Config } from "../config/config.ts";
import type { Orm } from "../db/client.ts";
import { askedChoice } from "../fleet/choice.ts";
import { repoKey } from "../projects/repo-key.ts";
import { repoRules } from "../sandboxes/git/repo-url.ts";
import { AppError } from "../shared/errors.ts";
import { type Created, createSession } from "./create-store.ts";
import { sessionModels } from "./model.ts";
import type { CheckRepoTarget } from "./repo-target.ts";

/** Attachments are statements of their own beside the one that creates a session: together they are a transaction. */
const createWith = ({ attachments }: SubmittedPrompt) =>
  attachments.length > 0 ? createOnce<Created> : createAtOnce<Created>;

/** Creation of sessions, with or without a first prompt. */
export function sessionCreationRoutes(options: {
  orm: Orm;
  config: Config;
  guard: Guard;
  check: CheckRepoTarget;
}) {
  const { orm, config, guard, check } = options;
  const settings = {
    branchPrefix: config.branchPrefix,
    wantsTitle: config.anthropicApiKey !== undefined,
    maxUnfinished: config.maxUnfinishedPrompts,
  };
  const rules = repoRules(config);
  const detail = securedOperation("Sessions");
  /** What both operations take from a request in the same way. */
  const wantedBy = (user: User, body: { repo: string } & Parameters<typeof askedChoice>[0]) => ({
    ...{ userId: user.id, author: authorOf(user) },
    ...{ repo: body.repo, repoKey: repoKey(body.repo, rules) },
    asked: askedChoice(body, config.spending.budgets.run),
    ...settings,
  });

  return new Elysia()
    .use(guard)
    .model({ ...sharedModels, ...sessionModels })
    .post(
      "/sessions",
      async ({ body, user, request, set }) => {
        const { repo, target_branch: targetBranch, parent = null, messages, priority = 0 } = body;
        check({ repo, targetBranch });
        const { id: userId } = user;
        // Messages must not be lost: they are the first prompt.
        const submitted = await readPromptData(orm, messages, { userId, field: "messages" });
        const prompt = submitted.text === "" ? undefined : { ...submitted, priority };
        const { sessionId } = await createWith(submitted)(orm, { request, user, body, set }, (orm) =>
          createSession(orm, { ...wantedBy(user, body), targetBranch, parent, prompt }),
        );
        return { success: true, message: "Session created", id: sessionId };
      },
      {
        parse: "json",
        body: "CreateSessionInput",
        headers: idempotencyHeaders,
        detail: detail(
          "handlers_sessions_create",
          "Create a session",
          "Messages, if any, become its first prompt, which is queued at once.",
        ),
        response: { 200: "CreateSessionOutput", ...writeErrors },
      },
    )
    .post(
      "/sessions/with-prompt",
      async ({ body, user, request, set }) => {
        const { repo, target_branch: targetBranch, messages, priority = 0 } = body;
        check({ repo, targetBranch });
        const { id: userId } = user;
        const submitted = await requirePromptData(orm, messages, { userId, field: "messages" });
        const prompt = { ...submitted, priority };
        const parent = body.parent_id ?? null;
        const { sessionId, promptId } = await createWith(submitted)(
          orm,
          { request, user, body, set },
          (orm) => createSession(orm, { ...wantedBy(user, body), targetBranch, parent, prompt }),
        );
        if (promptId === undefined) throw new AppError("internal", "no prompt was created");
        return { success: true, message: "Session created and prompt queued", sessionId, promptId };
      },
      {
        parse: "json",
        body: "CreateSessionWithPromptInput",
        headers: idempotencyHeaders,
        detail: detail(
          "handlers_sessions_create_with_prompt",
          "Create a session and run its first prompt",
          "Title and branch are derived from the prompt at once; a better title may follow later.",
        ),
        response: { 200: "CreateSessionWithPromptOutput", ...writeErrors },
      },
    );
}
