import { Elysia } from "elysia";
import { isUnchanged, weakEtag } from "../api/etag.ts";
import { pagesReply } from "../api/pages-reply.ts";
import { nextCursor } from "../api/paging.ts";
import { errorResponses, NotModified, parseLimit, securedOperation, sharedModels } from "../api/schemas.ts";
import type { User } from "../auth/claims.ts";
import type { Guard } from "../auth/guard.ts";
import { requireAdmin } from "../auth/require-admin.ts";
import { recordAudit } from "../db/audit-log.ts";
import type { Orm } from "../db/client.ts";
import type { SealedEntry } from "./chain.ts";
import { type AuditQuery, exportAudit, listAudit } from "./list-store.ts";
import { type AuditEntryDto, auditModels, auditQuery } from "./model.ts";
import { sealAudit } from "./seal-store.ts";

const DEFAULT_LIMIT = 100;
const JSON_LINES = "application/x-ndjson";

/** The audit log, for admins. */
export function auditRoutes(options: { orm: Orm; guard: Guard }) {
  const { orm, guard } = options;
  return new Elysia()
    .use(guard)
    .model({ ...sharedModels, ...auditModels })
    .get(
      "/audit",
      async (context) => {
        const { user, query, request, status } = context;
        requireAdmin(user);
        const { limit = DEFAULT_LIMIT, cursor, ...filter } = query;
        const exported = request.headers.get("accept")?.toLowerCase().includes(JSON_LINES) ?? false;
        // Each page: a cursor can be made by hand, and an export ignores it.
        await recordReading(orm, user, { ...filter, ...(!exported && { cursor }), exported });
        // What has just happened is in the reply, unless more than a thousand entries wait to be sealed.
        await sealAudit(orm);
        // Elysia sends a Response as it is; the schema describes the JSON.
        if (exported) return jsonLines(orm, filter) as never;
        const page = await listAudit(orm, { ...filter, limit, cursor });
        const reply = { entries: page.rows.map(toDto), ...nextCursor({ limit }, page) };
        return isUnchanged(context, weakEtag(reply)) ? status(304, undefined) : reply;
      },
      {
        query: auditQuery,
        transform: parseLimit,
        detail: securedOperation("Audit")(
          "handlers_audit_list",
          "List the audit log",
          `For the role admin. Newest first. With \`Accept: ${JSON_LINES}\` all matching entries are exported instead, in their order, one JSON object a line; limit and cursor are then not used.`,
        ),
        response: { 200: "ListAuditOutput", 304: NotModified, ...errorResponses(401, 403, 422, 500) },
      },
    );
}

const recordReading = (
  orm: Orm,
  { id }: User,
  detail: AuditQuery & { cursor?: string | undefined; exported: boolean },
) => recordAudit(orm, { actor: id, action: "audit.read", target: "audit", detail: { ...detail } });

const jsonLines = (orm: Orm, filter: AuditQuery): Response =>
  pagesReply(exportAudit(orm, filter), {
    textOf: (rows) => rows.map((row) => `${JSON.stringify(toDto(row))}\n`).join(""),
    headers: { "content-type": JSON_LINES },
  });

const toDto = ({ seq, at, actor, action, target, detail, hash }: SealedEntry): AuditEntryDto => ({
  seq,
  at: at.toISOString(),
  actor,
  action,
  target,
  detail: detail as Record<string, unknown>,
  hash,
});
