import type { Core } from "./core.js";
import { APIError, ProtocolError } from "./errors.js";
import type { SessionStreamEvent, StreamByeEvent, UserStreamEvent } from "./generated/types.gen.js";
import { type Frame, readFrames } from "./sse.js";
import { isRetryable } from "./transport.js";
import { backoffMs, sleep } from "./wait.js";

/** Only events with an id are positions to resume after. */
type WithId<Event> = Event extends { id: string } ? Event : Event & { id?: undefined };

/** What happens in one session: every message once it is stored, the session whenever it changes, its deletion. */
export type SessionEvent = WithId<Exclude<SessionStreamEvent, StreamByeEvent>>;

/** The same of all your sessions, and `ready` once the current state of each of them has come. */
export type UserEvent = WithId<Exclude<UserStreamEvent, StreamByeEvent>>;

export interface EventsOptions {
  /** Resume after the event with this id. */
  after?: string | number | undefined;
  /** Ends the stream. */
  signal?: AbortSignal | undefined;
  /** More headers. */
  headers?: Record<string, string> | undefined;
  /** Milliseconds without a byte after which the connection counts as lost. Default: 45,000; the service sends one every 15 s. */
  idleTimeout?: number | undefined;
  /** Called before each reconnect, with the error that ended the connection; undefined when the server closed it. */
  onReconnect?: ((error: unknown) => void) | undefined;
}

const IDLE_TIMEOUT_MS = 45_000;
/** Longest `retry:` that is obeyed. */
const LONGEST_RETRY_MS = 60_000;
/** Longest Retry-After that is waited for, in seconds. */
const LONGEST_RETRY_AFTER_S = 3_600;

/** Where a stream is: the parameters of a generated method. */
export interface StreamAddress {
  url: string;
  path?: Record<string, string> | undefined;
}

/**
 * Follows a stream for as long as the caller reads. After a lost connection or a restart of the server it resumes after
 * the last event that it yielded, so no event is skipped or repeated. Ends without an error when the signal is aborted.
 * @param last the event after which nothing follows.
 * @throws APIError where a retry would not help: an unknown session, a token that is refused; ProtocolError.
 */
export async function* follow<Event extends UserEvent>(
  core: Core,
  address: StreamAddress,
  options: EventsOptions = {},
  isLast: (event: Event) => boolean = () => false,
): AsyncGenerator<Event, void, undefined> {
  const { signal, onReconnect, headers, idleTimeout = IDLE_TIMEOUT_MS } = options;
  let position = options.after === undefined ? undefined : String(options.after);
  let { first, longest } = core.backoff;
  let failures = 0;
  const onRetry = (ms: number) => {
    first = Math.min(ms, LONGEST_RETRY_MS);
    longest = Math.max(longest, first);
  };
  while (!signal?.aborted) {
    let problem: unknown;
    try {
      const body = await connect(core, address, { signal, headers, position });
      for await (const frame of readFrames(body, { idleTimeout, signal, onRetry })) {
        failures = 0;
        if (frame.event === "bye") continue;
        position = frame.id ?? position;
        const event = parse<Event>(frame);
        yield event;
        if (isLast(event)) return;
      }
    } catch (error) {
      if (signal?.aborted) return;
      if (!isRetryable(error)) throw error;
      problem = error;
    }
    if (signal?.aborted) return;
    onReconnect?.(problem);
    const wanted = problem instanceof APIError ? problem.retryAfter : undefined;
    const delay =
      wanted === undefined
        ? backoffMs({ first, longest }, failures)
        : Math.min(wanted, LONGEST_RETRY_AFTER_S) * 1_000;
    failures += 1;
    await sleep(delay, signal).catch(() => undefined);
  }
}

/** One connection. Retries are the loop's: it knows since when the stream is away, and where to resume. */
async function connect(
  core: Core,
  address: StreamAddress,
  options: Pick<EventsOptions, "signal" | "headers"> & { position: string | undefined },
): Promise<ReadableStream<Uint8Array>> {
  const { signal, headers, position } = options;
  const { response } = await core.client.get({
    ...address,
    security: [{ key: "Bearer", scheme: "bearer", type: "http" }],
    headers: {
      accept: "text/event-stream",
      ...headers,
      ...(position !== undefined && { "last-event-id": position }),
    },
    fetch: ((request: Request) => core.send(request, { maxRetries: 0 })) as typeof fetch,
    parseAs: "stream",
    throwOnError: true,
    ...(signal && { signal }),
  });
  if (!response.body || !response.headers.get("content-type")?.startsWith("text/event-stream"))
    throw new ProtocolError(`${address.url}: the reply is not an event stream. Is baseUrl right?`);
  return response.body;
}

function parse<Event extends UserEvent>({ event, id, data }: Frame): Event {
  try {
    return { event, id, data: JSON.parse(data) } as Event;
  } catch (cause) {
    throw new ProtocolError(`The data of a \`${event}\` event is not JSON.`, { cause });
  }
}
