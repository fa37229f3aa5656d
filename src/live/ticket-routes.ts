import { Elysia, t } from "elysia";
import { errorResponses, securedOperation, sharedModels, Timestamp } from "../api/schemas.ts";
import type { Guard } from "../auth/guard.ts";
import type { Orm } from "../db/client.ts";
import { EXAMPLE_TICKET } from "./model.ts";
import { createTicket } from "./ticket-store.ts";

const ticketModels = {
  EventTicketOutput: t.Object({
    ticket: t.String({ description: "For `?ticket=` of one stream", examples: [EXAMPLE_TICKET] }),
    expires_at: Timestamp,
  }),
};

/** Tickets for clients that cannot send a header with a stream, such as a browser's EventSource. */
export function ticketRoutes({ orm, guard }: { orm: Orm; guard: Guard }) {
  return new Elysia()
    .use(guard)
    .model({ ...sharedModels, ...ticketModels })
    .post(
      "/events/ticket",
      async ({ user, set }) => {
        const { ticket, expiresAt } = await createTicket(orm, user);
        set.headers["cache-control"] = "no-store";
        return { ticket, expires_at: expiresAt.toISOString() };
      },
      {
        detail: securedOperation("Live")(
          "handlers_events_create_ticket",
          "Create a ticket for an event stream",
          "The ticket opens one stream of this user, `GET /events?ticket=` or `GET /sessions/{id}/events?ticket=`, within 30 s, and nothing else. The stream ends when the token expires that the ticket was created with.",
        ),
        response: { 200: "EventTicketOutput", ...errorResponses(401, 500) },
      },
    );
}
