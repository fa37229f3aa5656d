import { Elysia } from "elysia";
import { isUnchanged, weakEtag } from "../api/etag.ts";
import { createOnce } from "../api/idempotency-store.ts";
import {
  defaultToEmptyBody,
  idempotencyHeaders,
  idParams,
  NotModified,
  optionalBody,
  readErrors,
  securedOperation,
  sharedModels,
  writeErrors,
} from "../api/schemas.ts";
import type { Guard } from "../auth/guard.ts";
import type { Orm } from "../db/client.ts";
import { toEffectDto } from "../effects/dto.ts";
import type { Effect } from "../effects/ledger-store.ts";
import { effectModels } from "../effects/model.ts";
import { checkBranchName } from "../sandboxes/git/repo-url.ts";
import { AppError } from "../shared/errors.ts";
import { toPullRequestDto } from "./dto.ts";
import { pullRequestModels } from "./model.ts";
import { outcomeOf } from "./outcome.ts";
import { createStates } from "./state.ts";
import type { ArchiveWhen } from "./state-store.ts";
import { readPullRequest, wantMerge, wantPullRequest } from "./store.ts";
import type { TargetOf } from "./targets.ts";

/** The pull request of a session: make it, look at it, merge it. */
export function pullRequestRoutes(options: {
  orm: Orm;
  guard: Guard;
  targetOf: TargetOf;
  archiveWhen: ArchiveWhen;
  mayMerge: boolean;
}) {
  const { orm, guard, targetOf, mayMerge } = options;
  const states = createStates(options);
  const detail = securedOperation("Review");
  /** What has become of an effect, and the pull request as it is kept. */
  const replyOf = async (userId: string, sessionId: string, effect: Effect | undefined, done: string) => {
    const { pullRequest: row } = await readPullRequest(orm, userId, sessionId);
    const ended = effect === undefined || effect.status === "done";
    return {
      success: true,
      message: ended
        ? done
        : (effect.result?.reason ?? "It is under way; the session's effects say what became of it"),
      pull_request: row && toPullRequestDto(row),
      effect: effect ? toEffectDto(effect) : null,
    };
  };
  return new Elysia()
    .use(guard)
    .model({ ...sharedModels, ...effectModels, ...pullRequestModels })
    .post(
      "/sessions/:id/pull-request",
      async (context) => {
        const { user, params, body, request } = context;
        const wanted = { userId: user.id, sessionId: params.id, targetOf, request: body };
        if (body.base !== undefined) checkBranchName(body.base, "base");
        const { id } = await createOnce(orm, context, async (tx) => ({
          id: await wantPullRequest(tx, wanted),
        }));
        const effect = await outcomeOf(orm, id, request.signal);
        return replyOf(user.id, params.id, effect, "The session has a pull request");
      },
      {
        parse: "json",
        transform: defaultToEmptyBody,
        params: idParams,
        body: "CreatePullRequestInput",
        headers: idempotencyHeaders,
        detail: {
          ...detail(
            "handlers_sessions_create_pull_request",
            "Create the pull request of a session",
            "Of the session's branch, which must be pushed. A session has one: a repetition is answered with it, and one that its host has already is taken. Once that is merged or closed, and the branch has more, another is made. The reply waits for the host for 20 s; `pull_request` is null while it is under way, and GET has it later.",
          ),
          ...optionalBody,
        },
        response: { 200: "ChangePullRequestOutput", ...writeErrors },
      },
    )
    .get(
      "/sessions/:id/pull-request",
      async (context) => {
        const { user, params, status } = context;
        const { pullRequest, problem } = await states.read(user.id, params.id);
        const reply = { pull_request: pullRequest && toPullRequestDto(pullRequest), problem };
        if (isUnchanged(context, weakEtag("pull request", reply))) return status(304, undefined);
        return reply;
      },
      {
        params: idParams,
        detail: detail(
          "handlers_sessions_get_pull_request",
          "Get the pull request of a session",
          "With its checks and reviews. Its host is asked if it has not been for 15 s; when it does not answer, `problem` says so and the reply has what was known before. Null: the session has none.",
        ),
        response: { 200: "ReadPullRequestOutput", 304: NotModified, ...readErrors },
      },
    )
    .post(
      "/sessions/:id/merge",
      async (context) => {
        const { user, params, body, request } = context;
        if (!mayMerge)
          throw new AppError(
            "merging_closed",
            "Merging through the service is turned off (MERGE=off): merge the pull request at its host.",
          );
        const { method = "merge", head } = body;
        const wanted = { userId: user.id, sessionId: params.id, targetOf, method, head };
        const { id } = await createOnce(orm, context, async (tx) => ({
          id: (await wantMerge(tx, wanted)) ?? null,
        }));
        const effect = id === null ? undefined : await outcomeOf(orm, id, request.signal);
        return replyOf(user.id, params.id, effect, "The pull request is merged");
      },
      {
        parse: "json",
        transform: defaultToEmptyBody,
        params: idParams,
        body: "MergePullRequestInput",
        headers: idempotencyHeaders,
        detail: {
          ...detail(
            "handlers_sessions_merge",
            "Merge the pull request of a session",
            "Where its host allows it, and only at the `head` of the body, or without one, at that which GET /sessions/{id}/pull-request has shown anybody last: if the branch has moved since, the reply is 409. A repetition merges nothing.",
          ),
          ...optionalBody,
        },
        response: { 200: "ChangePullRequestOutput", ...writeErrors },
      },
    );
}
