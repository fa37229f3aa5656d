import { ConnectionError, ProtocolError, TimeoutError } from "./errors.js";
import { after } from "./wait.js";

/** One event of a stream, as it was sent. */
export interface Frame {
  event: string;
  id: string | undefined;
  data: string;
}

/** Longest event, in characters. Those of the service are an eighth of it at most; a longer one would fill the memory. */
const LONGEST_EVENT = 8 * 1024 * 1024;

/**
 * Reads Server-Sent Events. Ends when the server closes the stream, and when the signal is aborted.
 * @param options.idleTimeout milliseconds without a byte after which the connection counts as lost.
 * @param options.onRetry called with the milliseconds that the server wants clients to wait before they reconnect.
 * @throws ConnectionError if the connection is lost; ProtocolError for an event that is too long.
 */
export async function* readFrames(
  body: ReadableStream<Uint8Array>,
  options: { idleTimeout: number; signal: AbortSignal | undefined; onRetry: (ms: number) => void },
): AsyncGenerator<Frame, void, undefined> {
  const { idleTimeout, signal, onRetry } = options;
  const reader = body.getReader();
  // A pending read then ends as if the server had closed the stream.
  const close = () => void reader.cancel().catch(() => undefined);
  signal?.addEventListener("abort", close, { once: true });
  const lines = createLines();
  let frame = newFrame();
  try {
    for (;;) {
      const { done, value } = await readWithin(reader, idleTimeout);
      if (done || signal?.aborted) return;
      for (const line of lines(value)) {
        if (line === "") {
          if (frame.event !== undefined && frame.data.length > 0)
            yield { event: frame.event, id: frame.id, data: frame.data.join("\n") };
          frame = newFrame();
          continue;
        }
        const [name, text] = fieldOf(line);
        frame.length += line.length;
        if (frame.length > LONGEST_EVENT) throw tooLong();
        if (name === "event") frame.event = text;
        else if (name === "id") frame.id = text;
        else if (name === "data") frame.data.push(text);
        else if (name === "retry" && /^\d+$/.test(text)) onRetry(Number(text));
      }
    }
  } finally {
    signal?.removeEventListener("abort", close);
    close();
  }
}

const newFrame = () => ({
  event: undefined as string | undefined,
  id: undefined as string | undefined,
  data: [] as string[],
  length: 0,
});

/** The watchdog runs while the reader waits, not while the caller works on an event. */
async function readWithin(reader: ReadableStreamDefaultReader<Uint8Array>, idleTimeout: number) {
  let stop = () => {};
  const silence = new Promise<never>((_, reject) => {
    stop = after(idleTimeout, () => reject(new TimeoutError(`The stream was silent for ${idleTimeout} ms.`)));
  });
  try {
    return await Promise.race([reader.read(), silence]);
  } catch (error) {
    if (error instanceof TimeoutError) throw error;
    throw new ConnectionError("The stream's connection was lost.", { cause: error });
  } finally {
    stop();
  }
}

/** Cuts bytes into lines. What is left of a line is kept in pieces, so that a long one is not copied with each of them. */
function createLines(): (bytes: Uint8Array) => string[] {
  const decoder = new TextDecoder();
  let pieces: string[] = [];
  let length = 0;
  return (bytes) => {
    const text = decoder.decode(bytes, { stream: true });
    const parts = text.split("\n");
    const rest = parts.pop() ?? "";
    if (parts.length > 0) {
      parts[0] = pieces.join("") + parts[0];
      pieces = [];
      length = 0;
    }
    pieces.push(rest);
    length += rest.length;
    if (length > LONGEST_EVENT) throw tooLong();
    return parts.map((line) => line.replace(/\r$/, ""));
  };
}

/** A comment has no name. */
function fieldOf(line: string): [name: string, value: string] {
  const colon = line.indexOf(":");
  return colon < 0 ? [line, ""] : [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")];
}

const tooLong = () => new ProtocolError(`An event of the stream is longer than ${LONGEST_EVENT} characters.`);
