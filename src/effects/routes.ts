import { Elysia, t } from "elysia";
import { isUnchanged, weakEtag } from "../api/etag.ts";
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
import { toEffectDto } from "./dto.ts";
import { listEffects } from "./list-store.ts";
import { effectModels } from "./model.ts";

/** What the service has done outside of itself for a session. */
export function effectRoutes(options: { orm: Orm; guard: Guard }) {
  const { orm, guard } = options;
  return new Elysia()
    .use(guard)
    .model({ ...sharedModels, ...effectModels })
    .get(
      "/sessions/:id/effects",
      async (context) => {
        const { user, params, query, status } = context;
        const page = await listEffects(orm, { userId: user.id, sessionId: params.id, ...query });
        const reply = { effects: page.rows.map(toEffectDto), ...nextCursor(query, page) };
        // Of what is shown, not of the rows: a lease that expires changes no row.
        if (isUnchanged(context, weakEtag("effects", reply))) return status(304, undefined);
        return reply;
      },
      {
        params: idParams,
        query: t.Object(paging),
        transform: parseLimit,
        detail: securedOperation("Sessions")(
          "handlers_sessions_list_effects",
          "List what was done outside for a session",
          "Each push, pull request and merge, in the order in which they were written down: before it is made, and after. What a crash has left uncertain is looked up at its target, and never done twice.",
        ),
        response: { 200: "ListEffectsOutput", 304: NotModified, ...readErrors },
      },
    );
}
