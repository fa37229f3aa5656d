import { Elysia } from "elysia";
import { wireModels } from "../api/schemas.ts";
import type { createGuard } from "../auth/guard.ts";
import type { Orm } from "../db/client.ts";
import { AppError, notFound } from "../shared/errors.ts";
import { readCursor } from "./cursor.ts";
import type { Feed } from "./event-stream.ts";
import type { Hub } from "./hub.ts";
import { allEvents, sessionEvents } from "./model.ts";
import { sessionFeed } from "./session-feed.ts";
import { findSession } from "./store.ts";
import { userFeed } from "./user-feed.ts";

/** `x-accel-buffering`: nginx would hold events back until it has enough of them. */
const HEADERS = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-store",
  "x-accel-buffering": "no",
};
/** Seconds, for a user who has too many streams open. */
const RETRY_AFTER_S = "10";

/** Live streams: of one session, and of all of one's own. */
export function liveRoutes(options: { orm: Orm; hub: Hub; guard: ReturnType<typeof createGuard> }) {
  const { orm, hub, guard } = options;
  const reply = (
    { request, set }: { request: Request; set: { headers: Record<string, string | number> } },
    wanted: { user: { id: string; expiresAt: number }; sessionId?: string; feed: Feed },
  ) => {
    // To answer a HEAD, Elysia reads the whole body that a GET would have: of a stream that is for ever.
    if (request.method === "HEAD") return new Response(null, { headers: HEADERS });
    try {
      return new Response(hub.stream(wanted), { headers: HEADERS });
    } catch (error) {
      if (error instanceof AppError && error.kind === "too_many_requests")
        set.headers["retry-after"] = RETRY_AFTER_S;
      throw error;
    }
  };

  return new Elysia()
    .use(guard)
    .model(wireModels)
    .get(
      "/sessions/:id/events",
      async ({ user, params, query, headers, request, set }) => {
        const row = await findSession(orm, user.id, params.id);
        if (!row) throw notFound("session", params.id);
        const after = Number(headers["last-event-id"] ?? query.after ?? 0);
        const feed = sessionFeed({ orm, userId: user.id, sessionId: row.id, after });
        return reply({ request, set }, { user, sessionId: row.id, feed });
      },
      {
        params: sessionEvents.params,
        query: sessionEvents.query,
        headers: sessionEvents.headers,
        detail: {
          operationId: "handlers_sessions_events",
          ...sessionEvents.documented,
          tags: ["Live"],
          security: [{ Bearer: [] }],
        },
      },
    )
    .get(
      "/events",
      ({ user, query, headers, request, set }) => {
        const id = headers["last-event-id"] ?? query.after;
        const cursor = id === undefined ? undefined : readCursor(id);
        return reply({ request, set }, { user, feed: userFeed({ orm, userId: user.id, cursor }) });
      },
      {
        query: allEvents.query,
        headers: allEvents.headers,
        detail: {
          operationId: "handlers_events",
          ...allEvents.documented,
          tags: ["Live"],
          security: [{ Bearer: [] }],
        },
      },
    );
}
