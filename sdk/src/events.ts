/** One event of a live stream, as it came. */
export interface LiveEvent<Data = unknown> {
  /** `message`, `session`, `deleted`; on the stream of all sessions also `ready`. */
  event: string;
  /** A place to resume from, where the event is one. */
  id: string | undefined;
  data: Data;
}

export interface EventsOptions {
  /** Only what comes after the event of this id. */
  after?: string | number;
  /** Ends the stream. */
  signal?: AbortSignal;
  /** Called before each new attempt; the error is what ended the one before. */
  onReconnect?: (error: unknown) => void;
}

/** The server refused, and asking again would not help: no such session, no valid token. */
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
 * Follows a stream for as long as the caller reads, over lost connections and restarts of the server: it resumes after
 * the last event it has given out, so nothing is left out and nothing comes twice.
 * @param token asked for at each connection, since tokens expire.
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
    // Too many requests, or a server that is just ending: later.
    if (reply.status === 429 || reply.status >= 500) throw new Error(`status ${reply.status}`);
    throw new StreamRefused(
      reply.status,
      messageIn(text) ?? `The stream was refused with status ${reply.status}.`,
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
      // Half an event is none: it comes again.
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

/** Undefined for a comment. */
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
