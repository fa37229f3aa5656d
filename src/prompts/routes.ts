import { Elysia, t } from "elysia";
import { requirePromptText } from "../agents/prompt-text.ts";
import { ifMatchOf, isUnchanged, weakEtag } from "../api/etag.ts";
import { createOnce } from "../api/idempotency-store.ts";
import { jsonText, listText } from "../api/json-text.ts";
import { nextCursor } from "../api/paging.ts";
import {
  errorResponses,
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
import { requirePromptData } from "../attachments/read-prompt.ts";
import { authorOf } from "../auth/claims.ts";
import type { Guard } from "../auth/guard.ts";
import type { Config } from "../config/config.ts";
import type { Orm } from "../db/client.ts";
import { askedChoice } from "../fleet/choice.ts";
import type { Metrics } from "../observability/metrics.ts";
import { repoRules } from "../sandboxes/git/repo-url.ts";
import { deletePrompt, updatePrompt } from "./change-store.ts";
import { addPrompt } from "./create-store.ts";
import { promptModels, SteerStatus } from "./model.ts";
import { resumePrompt } from "./resume-store.ts";
import { retryPrompt } from "./retry-store.ts";
import { listSteers, steerPrompt } from "./steer-store.ts";
import { listPrompts, readPrompt } from "./store.ts";

/** Prompts: create a follow-up, list those of a session; read, update, delete, retry and steer one. */
export function promptRoutes(options: {
  orm: Orm;
  guard: Guard;
  config: Pick<Config, "maxUnfinishedPrompts" | "spending"> & Parameters<typeof repoRules>[0];
  metrics: Metrics;
}) {
  const { orm, guard, config, metrics } = options;
  const rules = repoRules(config);
  const detail = securedOperation("Prompts");
  const onlyQueued = "Only while it is queued; once it has started: 409.";
  return new Elysia()
    .use(guard)
    .model({ ...sharedModels, ...promptModels })
    .post(
      "/prompts",
      async ({ body, user, request, set }) => {
        const { session_id: sessionId, priority = 0 } = body;
        const { id: userId } = user;
        const { data, text, attachments } = await requirePromptData(orm, body.data, {
          userId,
          field: "data",
        });
        const { maxUnfinishedPrompts: maxUnfinished } = config;
        const author = authorOf(user);
        const { id } = await createOnce(orm, { request, user, body, set }, (tx) =>
          addPrompt(tx, {
            userId,
            author,
            sessionId,
            data,
            text,
            attachments,
            priority,
            asked: askedChoice(body, config.spending.budgets.run),
            rules,
            maxUnfinished,
          }),
        );
        return { success: true, message: "Prompt queued", id };
      },
      {
        parse: "json",
        body: "CreatePromptInput",
        headers: idempotencyHeaders,
        detail: detail(
          "handlers_prompts_create",
          "Create a follow-up prompt",
          "It runs after the session's earlier prompts.",
        ),
        response: { 200: "CreatePromptOutput", ...writeErrors },
      },
    )
    .get(
      "/prompts/:id",
      async ({ user, params, request, set, status }) => {
        const ifNoneMatch = request.headers.get("if-none-match");
        const { etag, json } = await readPrompt(orm, { userId: user.id, id: params.id, ifNoneMatch });
        if (isUnchanged({ request, set }, etag) || json === null) return status(304, undefined);
        return jsonText(set, `{"prompt":${json}}`);
      },
      {
        params: idParams,
        detail: detail("handlers_prompts_read", "Get a prompt"),
        response: { 200: jsonTextOf("ReadPromptOutput"), 304: NotModified, ...readErrors },
      },
    )
    .put(
      "/prompts/:id",
      async ({ user, params, body, request }) => {
        const ifMatch = ifMatchOf(request);
        const own = { userId: user.id, promptId: params.id.toLowerCase() };
        const submitted = await requirePromptData(orm, body.data, { ...own, field: "data" });
        await updatePrompt(orm, { userId: user.id, id: params.id, ifMatch, ...submitted });
        return { success: true, message: "Prompt updated" };
      },
      {
        parse: "json",
        params: idParams,
        body: "UpdatePromptInput",
        detail: detail("handlers_prompts_update", "Update a queued prompt", onlyQueued),
        response: { 200: "UpdatePromptOutput", ...updateErrors },
      },
    )
    .delete(
      "/prompts/:id",
      async ({ user, params }) => {
        await deletePrompt(orm, { userId: user.id, id: params.id });
        return { success: true, message: "Prompt deleted" };
      },
      {
        params: idParams,
        detail: detail("handlers_prompts_delete", "Delete a queued prompt", onlyQueued),
        response: { 200: "DeletePromptOutput", ...writeErrors },
      },
    )
    .post(
      "/prompts/:id/retry",
      async ({ user, params }) => {
        const ended = await retryPrompt(orm, { userId: user.id, id: params.id });
        return { success: true, message: ended ? "Wait ended" : "Its next attempt is due already" };
      },
      {
        params: idParams,
        detail: detail(
          "handlers_prompts_retry",
          "Retry a prompt that waits",
          "Ends its wait (`waiting_for`): it is tried as soon as it is its turn, instead of at `next_attempt_at`. If that fails, it waits on in the same series: `waiting_since` and with it the end of RETRY_TRANSIENT_HOURS stay, and no attempt is used up. Repeating the request does no harm. If it does not wait: 409; what has failed for good is retried as a dead letter.",
        ),
        response: { 200: "RetryPromptOutput", ...writeErrors },
      },
    )
    .post(
      "/prompts/:id/resume",
      async ({ user, params, body }) => {
        const { budget_usd: usd } = body;
        await resumePrompt(orm, { userId: user.id, id: params.id, usd });
        return { success: true, message: "Prompt resumed" };
      },
      {
        parse: "json",
        params: idParams,
        body: "ResumePromptInput",
        detail: detail(
          "handlers_prompts_resume",
          "Resume a prompt that waits for its budget",
          "Raises what its run may cost in all, and goes on from what was delivered, as soon as it is its turn. It can be more than BUDGET_USD_PER_RUN: the budgets of the session, the user and the deployment hold all the same. An archived session is reopened. If it does not wait for its own budget: 409; a budget of a day or month begins anew by itself.",
        ),
        response: { 200: "ResumePromptOutput", ...writeErrors, ...errorResponses(422) },
      },
    )
    .post(
      "/prompts/:id/steer",
      async (context) => {
        const { user, params, body } = context;
        const text = requirePromptText(body.text, "text");
        const { maxUnfinishedPrompts: maxUnfinished } = config;
        const wanted = { userId: user.id, author: authorOf(user), id: params.id, text, maxUnfinished };
        const { delivered, promptId, id } = await createOnce(orm, context, (tx) => steerPrompt(tx, wanted));
        metrics.steered(delivered);
        const message = delivered === "running" ? "Sent to the agent" : "Prompt queued";
        return { success: true, message, delivered, prompt_id: promptId, steer_id: id };
      },
      {
        parse: "json",
        params: idParams,
        body: "SteerPromptInput",
        headers: idempotencyHeaders,
        detail: detail(
          "handlers_prompts_steer",
          "Send a message to a working agent",
          "An agent that takes messages while it works gets it in its running turn (`delivered: running`); what it has not taken when it ends becomes the session's next prompt. Otherwise it is queued as a follow-up prompt at once (`delivered: queued`), whose id is `prompt_id`. Cancelling cancels what was not taken.",
        ),
        response: { 200: "SteerPromptOutput", ...writeErrors },
      },
    )
    .get(
      "/prompts/:id/steers",
      async (context) => {
        const { user, params, query, status } = context;
        const page = await listSteers(orm, { userId: user.id, id: params.id, ...query });
        const reply = { steers: page.rows, ...nextCursor(query, page) };
        if (isUnchanged(context, weakEtag("steers", reply))) return status(304, undefined);
        return reply;
      },
      {
        params: idParams,
        query: t.Object({ ...paging, status: t.Optional(SteerStatus) }),
        transform: parseLimit,
        detail: detail(
          "handlers_steers_list",
          "List what was said to a prompt's agent",
          "In order. With `status=pending`: what the agent has not taken yet.",
        ),
        response: { 200: "ListSteersOutput", 304: NotModified, ...readErrors },
      },
    )
    .get(
      // Elysia allows one parameter name after /sessions/; server/openapi.ts documents the contract's name.
      "/sessions/:id/prompts",
      async ({ user, params, query, request, set, status }) => {
        const wanted = { userId: user.id, ownerId: params.id, ...query };
        const { etag, page } = await listPrompts(orm, wanted, request.headers.get("if-none-match"));
        if (isUnchanged({ request, set }, etag) || !page) return status(304, undefined);
        return jsonText(set, listText("prompts", query, page));
      },
      {
        params: idParams,
        query: t.Object(paging),
        transform: parseLimit,
        detail: detail("handlers_prompts_list", "List a session's prompts", "In the order of their `seq`."),
        response: { 200: jsonTextOf("ListPromptsOutput"), 304: NotModified, ...readErrors },
      },
    );
}
