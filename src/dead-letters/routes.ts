import { Elysia, t } from "elysia";
import { errorReplies, Id, secured, wireModels } from "../api/schemas.ts";
import type { User } from "../auth/claims.ts";
import type { createGuard } from "../auth/guard.ts";
import type { Orm } from "../db/client.ts";
import { DLQ_STATUSES } from "../db/columns.ts";
import { toDlqDto } from "./dto.ts";
import { deadLetterModels, statusQuery } from "./model.ts";
import { retryDeadLetter, retryDeadLetters } from "./retry-store.ts";
import { closeDeadLetter, listDeadLetters, readDeadLetter } from "./store.ts";

const viewerOf = (user: User) => ({ userId: user.id, admin: user.roles.includes("admin") });

/** Notes are optional, and so is a body to put them in. */
const withoutBody = (context: { body: unknown }) => {
  context.body ??= {};
};

/** Dead letters: what was given up. One's own; with the role `admin`, everybody's. */
export function deadLetterRoutes(options: { orm: Orm; guard: ReturnType<typeof createGuard> }) {
  const { orm, guard } = options;
  const detail = secured("Dead Letter Queue");
  const params = t.Object({ id: Id });
  const replies = errorReplies(400, 401, 404, 409, 413, 415, 422, 500);
  const audited = "Who did it, when and why stays with the entry. Once it is no longer Pending: 409.";

  return new Elysia()
    .use(guard)
    .model({ ...wireModels, ...deadLetterModels })
    .get(
      "/dead-letter-queue",
      async ({ user, query }) => {
        const wanted = query.status?.toLowerCase();
        const status = DLQ_STATUSES.find((one) => one.toLowerCase() === wanted);
        return { entries: (await listDeadLetters(orm, viewerOf(user), status)).map(toDlqDto) };
      },
      {
        query: statusQuery,
        detail: detail(
          "handlers_dead_letter_queue_list_dlq_entries",
          "List what was given up",
          "Newest first. Users see their own; with the role admin, everybody's.",
        ),
        response: { 200: "ListDlqOutput", ...errorReplies(401, 422, 500) },
      },
    )
    .get(
      "/dead-letter-queue/:id",
      async ({ user, params }) => toDlqDto(await readDeadLetter(orm, viewerOf(user), params.id)),
      {
        params,
        detail: detail("handlers_dead_letter_queue_get_dlq_entry", "Read a dead letter"),
        response: { 200: "DlqDto", ...errorReplies(401, 404, 422, 500) },
      },
    )
    .post(
      "/dead-letter-queue/:id/resolve",
      async ({ user, params, body }) => {
        const notes = body.resolution_notes ?? null;
        await closeDeadLetter(orm, { viewer: viewerOf(user), id: params.id, status: "Resolved", notes });
        return { success: true, message: "Entry resolved" };
      },
      {
        parse: "json",
        params,
        body: "ResolveDlqInput",
        transform: withoutBody,
        detail: detail("handlers_dead_letter_queue_resolve_dlq", "Say that it has been dealt with", audited),
        response: { 200: "ResolveDlqOutput", ...replies },
      },
    )
    .post(
      "/dead-letter-queue/:id/abandon",
      async ({ user, params, body }) => {
        const notes = body.resolution_notes ?? null;
        await closeDeadLetter(orm, { viewer: viewerOf(user), id: params.id, status: "Abandoned", notes });
        return { success: true, message: "Entry abandoned" };
      },
      {
        parse: "json",
        params,
        body: "AbandonDlqInput",
        transform: withoutBody,
        detail: detail("handlers_dead_letter_queue_abandon_dlq", "Say that nothing will be done", audited),
        response: { 200: "AbandonDlqOutput", ...replies },
      },
    )
    .post(
      "/dead-letter-queue/:id/retry",
      async ({ user, params, body }) => {
        await retryDeadLetter(orm, {
          viewer: viewerOf(user),
          id: params.id,
          notes: body.resolution_notes ?? null,
        });
        return { success: true, message: "On its way again; the entry is resolved" };
      },
      {
        parse: "json",
        params,
        body: "RetryDlqInput",
        transform: withoutBody,
        detail: detail(
          "handlers_dead_letter_queue_retry_dlq",
          "Try it again",
          `A prompt waits again at its place in its session, with all its attempts; a sandbox's return is tried anew. ${audited}`,
        ),
        response: { 200: "RetryDlqOutput", ...replies },
      },
    )
    .post(
      "/dead-letter-queue/retry",
      async ({ user, body }) => {
        const done = await retryDeadLetters(orm, {
          viewer: viewerOf(user),
          filter: {
            taskType: body.task_type,
            kind: body.kind,
            ids: body.ids,
            failedBefore: body.failed_before,
            failedAfter: body.failed_after,
          },
          notes: body.resolution_notes ?? null,
        });
        return { success: true, message: `${done.retried.length} on their way again`, ...done };
      },
      {
        parse: "json",
        body: "RetryDlqEntriesInput",
        detail: detail(
          "handlers_dead_letter_queue_retry_dlq_entries",
          "Try again all that fit",
          "All Pending entries that one can see and that fit every field that is given, at most 500 at a time, oldest first.",
        ),
        response: { 200: "RetryDlqEntriesOutput", ...errorReplies(400, 401, 413, 415, 422, 500) },
      },
    );
}
