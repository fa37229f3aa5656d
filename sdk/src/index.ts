import { type EventsOptions, follow, type LiveEvent } from "./events.js";
import { createClient } from "./generated/client/index.js";
import { PromptBackend } from "./generated/sdk.gen.js";
import type { MessageDto, SessionDto } from "./generated/types.gen.js";

export { type EventsOptions, type LiveEvent, StreamRefused } from "./events.js";
export { PromptBackend } from "./generated/sdk.gen.js";
export type * from "./generated/types.gen.js";

export interface ConnectOptions {
  /** Where the service is, e.g. http://127.0.0.1:8000. */
  baseUrl: string;
  /** A token, or what gives one; asked for at each request, since tokens expire. */
  token: string | (() => string | Promise<string>);
}

/** What a session's stream tells: messages as they are stored, and the session whenever it looks different. */
export type SessionEvent =
  | (LiveEvent<MessageDto & { session_id: string }> & { event: "message" })
  | (LiveEvent<SessionDto> & { event: "session" })
  | (LiveEvent & { event: "deleted" | "ready" });

/** Every operation by its name in the API's description (each rejects on an error reply), and the live streams. */
export interface Connection {
  api: PromptBackend;
  /** One session's events, from the first or after one that you have; over restarts of the server, without a gap. */
  sessionEvents(id: string, options?: EventsOptions): AsyncGenerator<SessionEvent, void, undefined>;
  /** The same of all your sessions. */
  events(options?: EventsOptions): AsyncGenerator<SessionEvent, void, undefined>;
}

/** Opens nothing; each call is a request of its own. */
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
