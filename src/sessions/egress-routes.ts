import { Elysia, t } from "elysia";
import { isUnchanged } from "../api/etag.ts";
import { nextCursor } from "../api/paging.ts";
import {
  idParams,
  NotModified,
  paging,
  parseLimit,
  readErrors,
  securedOperation,
  sharedModels,
} from "../api/schemas.ts";
import type { Guard } from "../auth/guard.ts";
import type { Orm } from "../db/client.ts";
import { type EgressRequestDto, egressModels } from "./egress-model.ts";
import { type EgressRequestRow, egressTag, listEgress } from "./egress-store.ts";

/** What a session's agents asked for on the network. */
export function sessionEgressRoutes(options: { orm: Orm; guard: Guard }) {
  const { orm, guard } = options;
  return new Elysia()
    .use(guard)
    .model({ ...sharedModels, ...egressModels })
    .get(
      "/sessions/:id/egress",
      async (context) => {
        const { user, params, query, status } = context;
        const wanted = { userId: user.id, sessionId: params.id, ...query };
        if (isUnchanged(context, await egressTag(orm, wanted))) return status(304, undefined);
        const page = await listEgress(orm, wanted);
        return { requests: page.rows.map(toDto), ...nextCursor(query, page) };
      },
      {
        params: idParams,
        query: t.Object(paging),
        transform: parseLimit,
        detail: securedOperation("Sessions")(
          "handlers_sessions_list_egress",
          "List what a session's agents asked for on the network",
          "One entry for each prompt, host, port and decision, in the order in which they were first asked for. The refused ones are what EGRESS_ALLOW would have to contain.",
        ),
        response: { 200: "ListEgressOutput", 304: NotModified, ...readErrors },
      },
    );
}

const toDto = (row: EgressRequestRow): EgressRequestDto => ({
  host: row.host,
  port: row.port,
  decision: row.decision,
  rule: row.rule,
  first_at: row.firstAt.toISOString(),
  last_at: row.lastAt.toISOString(),
  count: row.count,
  prompt_id: row.promptId,
});
