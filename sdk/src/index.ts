import { type EventsOptions, follow, type LiveEvent } from "./events.js";
import { createClient } from "./generated/client/index.js";
import { PromptBackend } from "./generated/sdk.gen.js";
import type { MessageDto, SessionDto } from "./generated/types.gen.js";

export { type EventsOptions, type LiveEvent, StreamRefused } from "./events.js";
export { PromptBackend } from "./generated/sdk.gen.js";
export type * from "./generated/types.gen.js";

export interface ConnectOptions {
  /** URL of the service, e.g. http://127.0.0.1:8000. */
  baseUrl: string;
  /** A token, or a function that returns one; it is called for each request, since tokens expire. */
  token: string | (() => string | Promise<string>);
}

/** Events of a session: every message once it is stored, and the session whenever it changes. */
export type SessionEvent =
  | (LiveEvent<MessageDto & { session_id: string }> & { event: "message" })
  | (LiveEvent<SessionDto> & { event: "session" })
  | (LiveEvent & { event: "deleted" | "ready" });

/** All operations, and the live streams. */
export interface Connection {
  /** One method per operation, named by its operationId. Each rejects on an error response. */
  api: PromptBackend;
  /** Events of one session, from the first one or after `options.after`; resumes by itself, without gaps. */
  sessionEvents(id: string, options?: EventsOptions): AsyncGenerator<SessionEvent, void, undefined>;
  /** Events of all your sessions. */
  events(options?: EventsOptions): AsyncGenerator<SessionEvent, void, undefined>;
}

/** Creates a client. Opens no connection: each call is a request of its own. */
export function connect(options: ConnectOptions): Connection {
  const baseUrl = options.baseUrl.replace(/\/+$/, "");
  const { token } = options;
  const auth = async () => (typeof token === "string" ? token : await token());
  const client = createClient({ baseUrl, auth, throwOnError: true });
  const stream = (path: string, events: EventsOptions = {}) =>
    follow(`${baseUrl}${path}`, auth, events) as AsyncGenerator<SessionEvent, void, undefined>;
  return {
    api: new PromptBackend({ client }),
    sessionEvents: (id, events) => stream(`/sessions/${encodeURIComponent(id)}/events`, events),
    events: (events) => stream("/events", events),
  };
}
