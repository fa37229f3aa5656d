import { Elysia } from "elysia";
import { isUnchanged, weakEtag } from "../api/etag.ts";
import {
  defaultToEmptyBody,
  errorResponses,
  idParams,
  NotModified,
  optionalBody,
  readErrors,
  securedOperation,
  sharedModels,
  writeErrors,
} from "../api/schemas.ts";
import type { User } from "../auth/claims.ts";
import type { Guard } from "../auth/guard.ts";
import type { Orm } from "../db/client.ts";
import { DLQ_STATUSES } from "../db/columns.ts";
import { ACTS, actOnDeadLetters } from "./bulk-store.ts";
import { toDlqDto } from "./dto.ts";
import { deadLetterModels, statusQuery } from "./model.ts";
import { retryDeadLetters } from "./retry-store.ts";
import { listDeadLetters, readDeadLetter } from "./store.ts";

const viewerOf = (user: User) => ({ userId: user.id, admin: user.roles.includes("admin") });

/** Dead letters: work that failed permanently. Users see their own; the role `admin` sees all. */
export function deadLetterRoutes(options: { orm: Orm; guard: Guard }) {
  const { orm, guard } = options;
  const detail = securedOperation("Dead Letter Queue");
  const audited = "The entry records who did it, when and why. If it is no longer Pending: 409.";
  const selected = (user: User, id: string, body: { resolution_notes?: string | null | undefined }) => ({
    viewer: viewerOf(user),
    id,
    notes: body.resolution_notes ?? null,
  });

  return new Elysia()
    .use(guard)
    .model({ ...sharedModels, ...deadLetterModels })
    .get(
      "/dead-letter-queue",
      async (context) => {
        const { user, query } = context;
        const wanted = query.status?.toLowerCase();
        const wantedStatus = DLQ_STATUSES.find((one) => one.toLowerCase() === wanted);
        const entries = (await listDeadLetters(orm, viewerOf(user), wantedStatus)).map(toDlqDto);
        return isUnchanged(context, weakEtag(entries)) ? context.status(304, undefined) : { entries };
      },
      {
        query: statusQuery,
        detail: detail(
          "handlers_dead_letter_queue_list_dlq_entries",
          "List dead letters",
          "Newest first. Users see their own; the role admin sees all.",
        ),
        response: { 200: "ListDlqOutput", 304: NotModified, ...errorResponses(401, 422, 500) },
      },
    )
    .get(
      "/dead-letter-queue/:id",
      async (context) => {
        const { user, params, status } = context;
        const entry = toDlqDto(await readDeadLetter(orm, viewerOf(user), params.id));
        return isUnchanged(context, weakEtag(entry)) ? status(304, undefined) : entry;
      },
      {
        params: idParams,
        detail: detail("handlers_dead_letter_queue_get_dlq_entry", "Get a dead letter"),
        response: { 200: "DlqDto", 304: NotModified, ...readErrors },
      },
    )
    .post(
      "/dead-letter-queue/:id/resolve",
      async ({ user, params, body }) => {
        return { success: true, message: await ACTS.resolve(orm, selected(user, params.id, body)) };
      },
      {
        parse: "json",
        params: idParams,
        body: "ResolveDlqInput",
        transform: defaultToEmptyBody,
        detail: {
          ...detail("handlers_dead_letter_queue_resolve_dlq", "Resolve a dead letter", audited),
          ...optionalBody,
        },
        response: { 200: "ResolveDlqOutput", ...writeErrors },
      },
    )
    .post(
      "/dead-letter-queue/:id/abandon",
      async ({ user, params, body }) => {
        return { success: true, message: await ACTS.abandon(orm, selected(user, params.id, body)) };
      },
      {
        parse: "json",
        params: idParams,
        body: "AbandonDlqInput",
        transform: defaultToEmptyBody,
        detail: {
          ...detail("handlers_dead_letter_queue_abandon_dlq", "Abandon a dead letter", audited),
          ...optionalBody,
        },
        response: { 200: "AbandonDlqOutput", ...writeErrors },
      },
    )
    .post(
      "/dead-letter-queue/:id/retry",
      async ({ user, params, body }) => {
        return { success: true, message: await ACTS.retry(orm, selected(user, params.id, body)) };
      },
      {
        parse: "json",
        params: idParams,
        body: "RetryDlqInput",
        transform: defaultToEmptyBody,
        detail: {
          ...detail(
            "handlers_dead_letter_queue_retry_dlq",
            "Retry a dead letter",
            `A prompt is queued again at its position in the session, with all its attempts; the return of a sandbox is attempted again. ${audited}`,
          ),
          ...optionalBody,
        },
        response: { 200: "RetryDlqOutput", ...writeErrors },
      },
    )
    .post(
      "/dead-letter-queue/bulk",
      async ({ user, body }) => ({
        results: await actOnDeadLetters(orm, {
          viewer: viewerOf(user),
          action: body.action,
          ids: body.ids,
          notes: body.resolution_notes ?? null,
        }),
      }),
      {
        parse: "json",
        body: "BulkDlqInput",
        detail: detail(
          "handlers_dead_letter_queue_bulk",
          "Update several dead letters",
          "Resolves, abandons or retries each entry as its own operation does, in the given order; one that fails keeps no other from it. `results` has one element for each, with the code of the error that its own operation would have answered.",
        ),
        response: { 200: "BulkDlqOutput", ...errorResponses(400, 401, 413, 415, 422, 500) },
      },
    )
    .post(
      "/dead-letter-queue/retry",
      async ({ user, body }) => {
        const outcome = await retryDeadLetters(orm, {
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
        return { success: true, message: `${outcome.retried.length} queued again`, ...outcome };
      },
      {
        parse: "json",
        body: "RetryDlqEntriesInput",
        detail: detail(
          "handlers_dead_letter_queue_retry_dlq_entries",
          "Retry matching dead letters",
          "Retries the Pending entries visible to the user that match every given field, oldest first, at most 500 per request.",
        ),
        response: { 200: "RetryDlqEntriesOutput", ...errorResponses(400, 401, 413, 415, 422, 500) },
      },
    );
}
