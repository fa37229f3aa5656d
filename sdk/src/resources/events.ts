import type { APIPromise } from "../api-promise.js";
import type { RequestOptions } from "../core.js";
import { type EventsOptions, follow, type SessionEvent, type UserEvent } from "../events.js";
import type {
  EventTicketOutput,
  HandlersEventsData,
  HandlersSessionsEventsData,
} from "../generated/types.gen.js";
import { checkId, Resource } from "./resource.js";

/** The addresses of the generated methods, which cannot follow a stream across reconnects. */
const OF_SESSION = "/sessions/{id}/events" satisfies HandlersSessionsEventsData["url"];
const OF_USER = "/events" satisfies HandlersEventsData["url"];

/** Live streams. They reconnect and resume by themselves; no message is skipped, repeated or reordered. */
export class Events extends Resource {
  /** Events of one session, from its first message or after `options.after`. Ends when the session is deleted. */
  session(id: string, options?: EventsOptions): AsyncGenerator<SessionEvent, void, undefined> {
    const address = { url: OF_SESSION, path: { id: checkId(id) } };
    return follow<SessionEvent>(this.core, address, options, ({ event }) => event === "deleted");
  }

  /** Events of all your sessions, from now on or after `options.after`. */
  all(options?: EventsOptions): AsyncGenerator<UserEvent, void, undefined> {
    return follow<UserEvent>(this.core, { url: OF_USER }, options);
  }

  /** A ticket for one stream of a client that sends no headers, such as a browser's EventSource. The streams above need none. */
  createTicket(options?: RequestOptions): APIPromise<EventTicketOutput> {
    return this.request(options, (init) => this.api.handlersEventsCreateTicket(init));
  }
}
