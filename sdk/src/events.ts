/** One event of a live stream. */
export interface LiveEvent<Data = unknown> {
  /** `message`, `session` or `deleted`; on the stream of all sessions also `ready`. */
  event: string;
  /** The position to resume after, for events that have one. */
  id: string | undefined;
  data: Data;
}

export interface EventsOptions {
  /** Resume after the event with this id. */
  after?: string | number;
  /** Closes the stream. */
  signal?: AbortSignal;
  /** Called before each reconnect, with the error that ended the connection; undefined when the server closed it. */
  onReconnect?: (error: unknown) => void;
}

/** The server rejected the request, and a retry would not help: unknown session, invalid token. */
export class StreamRefused extends Error {
  override readonly name = "StreamRefused";
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 10_000;

/**
 * Follows a stream for as long as the caller reads. After a lost connection or a restart of the server it resumes after
 * the last event that it yielded, so no event is skipped or repeated.
 * @param token called for each connection, since tokens expire.
 * @throws {StreamRefused} on a 4xx response other than 429.
 */
export async function* follow(
  url: string,
  token: () => string | Promise<string>,
  options: EventsOptions = {},
): AsyncGenerator<LiveEvent, void, undefined> {
  const { signal, onReconnect } = options;
  let last = options.after === undefined ? undefined : String(options.after);
  let pause = FIRST_PAUSE_MS;
  for (;;) {
    try {
      for await (const event of read(url, await token(), last, signal)) {
        pause = FIRST_PAUSE_MS;
        if (event.event === "bye") continue;
        if (event.id !== undefined) last = event.id;
        yield event;
        if (event.event === "deleted") return;
      }
      onReconnect?.(undefined);
    } catch (error) {
      if (signal?.aborted) return;
      if (error instanceof StreamRefused) throw error;
      onReconnect?.(error);
    }
    if (signal?.aborted) return;
    await wait(pause * (0.5 + Math.random()), signal);
    if (signal?.aborted) return;
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  }
}

async function* read(
  url: string,
  token: string,
  after: string | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<LiveEvent> {
  const reply = await fetch(url, {
    headers: {
      authorization: `Bearer ${token}`,
      accept: "text/event-stream",
      ...(after !== undefined && { "last-event-id": after }),
    },
    ...(signal && { signal }),
  });
  if (!reply.ok || !reply.body) {
    const text = await reply.text();
    // Rate limited, or the server is shutting down: retry.
    if (reply.status === 429 || reply.status >= 500) throw new Error(`status ${reply.status}`);
    throw new StreamRefused(
      reply.status,
      messageIn(text) ?? `The server rejected the stream with status ${reply.status}.`,
    );
  }
  const reader = reply.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const frames = (rest + decoder.decode(value, { stream: true })).split("\n\n");
      // The last part may be incomplete.
      rest = frames.pop() ?? "";
      for (const frame of frames) {
        const event = parse(frame);
        if (event) yield event;
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** @returns undefined for a comment. */
function parse(frame: string): LiveEvent | undefined {
  let event: string | undefined;
  let id: string | undefined;
  const data: string[] = [];
  for (const line of frame.split("\n")) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const value = line.slice(colon + 1).replace(/^ /, "");
    const field = line.slice(0, colon);
    if (field === "event") event = value;
    else if (field === "id") id = value;
    else if (field === "data") data.push(value);
  }
  if (event === undefined || data.length === 0) return undefined;
  return { event, id, data: JSON.parse(data.join("\n")) as unknown };
}

function messageIn(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { msg?: string }).msg;
  } catch {
    return undefined;
  }
}

function wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done, { once: true });
  });
}
