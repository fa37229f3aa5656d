import { Elysia } from "elysia";
import { securedOperation, sharedModels } from "../api/schemas.ts";
import type { TokenVerifier, User } from "../auth/claims.ts";
import type { Guard } from "../auth/guard.ts";
import type { Orm } from "../db/client.ts";
import { notFound } from "../shared/errors.ts";
import { readCursor } from "./cursor.ts";
import type { Feed } from "./event-stream.ts";
import type { Hub } from "./hub.ts";
import { liveModels, sessionEvents, userEvents } from "./model.ts";
import { sessionFeed } from "./session-feed.ts";
import { findSession } from "./store.ts";
import { userFeed } from "./user-feed.ts";
import { createVersionReader } from "./versions.ts";

/** `x-accel-buffering`: otherwise nginx buffers events. */
const HEADERS = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-store",
  "x-accel-buffering": "no",
};

/** Live streams: of one session, and of all sessions of a user. */
export function liveRoutes(options: {
  orm: Orm;
  hub: Pick<Hub, "stream">;
  guard: Guard;
  verifier: Pick<TokenVerifier, "isTrusted">;
}) {
  const { orm, hub, guard, verifier } = options;
  const versions = createVersionReader(orm);
  const detail = securedOperation("Live");
  const reply = ({ method }: Request, stream: { user: User; sessionId?: string; feed: Feed }) =>
    // To answer HEAD, Elysia reads the whole body of the GET, which for a stream never ends.
    new Response(
      method === "HEAD" ? null : hub.stream({ ...stream, isTrusted: () => verifier.isTrusted(stream.user) }),
      { headers: HEADERS },
    );

  return new Elysia()
    .use(guard)
    .model({ ...sharedModels, ...liveModels })
    .get(
      "/sessions/:id/events",
      async ({ user, params, query, headers, request }) => {
        const row = await findSession(orm, user.id, params.id);
        if (!row) throw notFound("session", params.id);
        const after = Number(headers["last-event-id"] ?? query.after ?? 0);
        const feed = sessionFeed({ orm, versions, userId: user.id, sessionId: row.id, after });
        return reply(request, { user, sessionId: row.id, feed });
      },
      {
        params: sessionEvents.params,
        query: sessionEvents.query,
        headers: sessionEvents.headers,
        detail: {
          ...detail("handlers_sessions_events", "Stream a session's events", sessionEvents.description),
          responses: sessionEvents.responses,
        },
      },
    )
    .get(
      "/events",
      ({ user, query, headers, request }) => {
        const id = headers["last-event-id"] ?? query.after;
        const cursor = id === undefined ? undefined : readCursor(id);
        return reply(request, { user, feed: userFeed({ orm, userId: user.id, cursor }) });
      },
      {
        query: userEvents.query,
        headers: userEvents.headers,
        detail: {
          ...detail("handlers_events", "Stream the events of all sessions", userEvents.description),
          responses: userEvents.responses,
        },
      },
    );
}
