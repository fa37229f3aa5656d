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
import { authorOf } from "../auth/claims.ts";
import type { Guard } from "../auth/guard.ts";
import type { Config } from "../config/config.ts";
import type { Orm } from "../db/client.ts";
import { addSync } from "../prompts/create-store.ts";
import type { Reviews } from "../review/reviews.ts";
import { EMPTY_TREE } from "../sandboxes/sandbox.ts";
import { sessionModels } from "./model.ts";

/** Files that the text of a prompt names. */
const NAMED = 50;

/** Takes the target branch into a session's work. */
export function sessionSyncRoutes(options: {
  orm: Orm;
  guard: Guard;
  reviews: Reviews;
  config: Pick<Config, "maxUnfinishedPrompts">;
}) {
  const { orm, guard, reviews, config } = options;
  return new Elysia()
    .use(guard)
    .model({ ...sharedModels, ...sessionModels })
    .post(
      "/sessions/:id/sync",
      async (context) => {
        const { user, params, body } = context;
        const strategy = body?.strategy ?? "merge";
        const work = await reviews.work(user.id, params.id, { fresh: true });
        const { targetBranch } = work.row;
        const nothing = { prompt_id: null, conflicts: [], suggested_prompt: null };
        if (work.head === work.target || (!work.merged && work.base === work.target))
          return {
            ...{
              success: true,
              message: `The branch has all of ${targetBranch}`,
              status: "up_to_date" as const,
            },
            ...nothing,
          };
        const conflicts = await reviews.conflicts(work);
        if (conflicts && conflicts.length > 0)
          return {
            success: false,
            message: `git cannot ${strategy} ${targetBranch} by itself: both sides have changed the same lines. Nothing was queued; send suggested_prompt with POST /prompts to have the agent do it.`,
            status: "conflicts" as const,
            ...{ ...nothing, conflicts: [...conflicts] },
            suggested_prompt: promptFor(targetBranch, conflicts, work.base === EMPTY_TREE),
          };
        const wanted = { userId: user.id, author: authorOf(user), sessionId: params.id, strategy };
        const { id } = await createOnce(orm, context, (tx) =>
          addSync(tx, { ...wanted, maxUnfinished: config.maxUnfinishedPrompts }),
        );
        return {
          success: true,
          message: "Sync queued",
          status: "queued" as const,
          ...nothing,
          prompt_id: id,
        };
      },
      {
        parse: "json",
        params: idParams,
        body: "SyncSessionInput",
        headers: idempotencyHeaders,
        detail: {
          ...securedOperation("Sessions")(
            "handlers_sessions_sync",
            "Update a session's branch from its target branch",
            "By git, without an agent, if it can: a prompt of kind `sync`, which waits for the session's earlier prompts and pushes the result. Where both sides have changed the same lines, nothing is queued, and the reply has the text of a prompt that would have the agent do it.",
          ),
          ...optionalBody,
        },
        response: { 200: "SyncSessionOutput", ...writeErrors },
      },
    );
}

/** @param unrelated the two have no commit in common. */
const promptFor = (target: string, conflicts: readonly string[], unrelated: boolean): string =>
  [
    `Merge origin/${target} into this branch with \`git merge ${unrelated ? "--allow-unrelated-histories " : ""}origin/${target}\`, resolve the conflicts so that what both sides wanted is kept, check the result as this repository's tests and instructions ask, and commit the merge.`,
    "",
    "These files have conflicts:",
    "",
    ...conflicts.slice(0, NAMED).map((path) => `- ${JSON.stringify(path)}`),
    ...(conflicts.length > NAMED ? [`- and ${conflicts.length - NAMED} more`] : []),
  ].join("\n");
