import type { Logger } from "../observability/logger.ts";
import { messageOf } from "../shared/errors.ts";
import { type EndReason, endFrame, HEARTBEAT, retryFrame } from "./sse-frames.ts";

/** The content of a stream, produced on demand. */
export interface Feed {
  /** The next frames; "" if there is nothing new. `last`: the stream ends after them. */
  read(): Promise<{ text: string; last?: boolean }>;
  /** Says that this session may have changed; without an id, any of them. Does no work until the next read. */
  wake(sessionId?: string): void;
}

export interface EventStream {
  body: ReadableStream<Uint8Array>;
  /** Age, in milliseconds, of the oldest change that the reader has not received yet; 0 if there is none. */
  readonly behindMs: number;
  wake(sessionId?: string): void;
  /** Sends the reason, then closes. */
  end(reason: EndReason): void;
}

/** Reconnection delay of clients, in milliseconds. */
const RETRY_MS = 1_000;

/**
 * Turns a feed into a response body. Nothing is read ahead: the next chunk is produced when the reader has taken the
 * previous one, so a stream buffers one chunk at most.
 * @param options.expiresAt milliseconds since 1970, when the stream ends.
 * @param options.isTrusted asked before each read, and so with each heartbeat: the stream ends once it says no.
 * @param options.heartbeatMs idle time after which a heartbeat is sent.
 * @param options.readTimeoutMs a reader that takes nothing for this long is disconnected.
 * @param options.onClosed called once, however the stream ends, also when it is never read.
 */
export function eventStream(options: {
  feed: Feed;
  expiresAt: number;
  isTrusted: () => Promise<boolean>;
  heartbeatMs: number;
  readTimeoutMs: number;
  onClosed: () => void;
  logger: Logger;
}): EventStream {
  const { feed, expiresAt, isTrusted, heartbeatMs, readTimeoutMs, onClosed, logger } = options;
  const encoder = new TextEncoder();
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  let started = false;
  let ending: EndReason | undefined;
  let last = false;
  let closed = false;
  /** Woken since the last read began, and when first (performance.now()). */
  let woken = false;
  let wokenAt: number | undefined;
  /** Since when there may be changes that the reader has not received. */
  let behindSince: number | undefined = performance.now();
  let resume: () => void = () => undefined;
  let readTimer: ReturnType<typeof setTimeout> | undefined;

  const close = () => {
    if (closed) return;
    closed = true;
    clearTimeout(readTimer);
    resume();
    onClosed();
  };
  const startReadTimer = () => {
    readTimer = setTimeout(() => {
      close();
      logger.info("live stream disconnected: its reader is too slow");
      // An error, not a close, which would wait for the reader to take the rest.
      controller?.error(new DOMException("The reader is too slow.", "AbortError"));
    }, readTimeoutMs);
  };

  /** Waits for a wake-up. @returns true if the heartbeat or the expiry came first. */
  const pause = async (): Promise<boolean> => {
    if (woken || ending || closed) return false;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(true), Math.max(0, Math.min(heartbeatMs, expiresAt - Date.now())));
    resume = () => resolve(false);
    const timedOut = await promise;
    clearTimeout(timer);
    return timedOut;
  };

  const nextChunk = async (): Promise<string> => {
    if (!started) {
      started = true;
      return retryFrame(RETRY_MS);
    }
    for (let idle = false; !closed; ) {
      if (Date.now() >= expiresAt || !(await isTrusted())) ending ??= "token_expired";
      if (ending) {
        last = true;
        return endFrame(ending);
      }
      woken = false;
      behindSince ??= wokenAt;
      wokenAt = undefined;
      const chunk = await feed.read();
      last = chunk.last ?? false;
      if (chunk.text === "") behindSince = wokenAt;
      if (chunk.text !== "" || last) return chunk.text;
      if (idle) return HEARTBEAT;
      idle = await pause();
      // Notifications may be lost, so an idle stream looks for changes with each heartbeat.
      if (idle) feed.wake();
    }
    return "";
  };

  const body = new ReadableStream<Uint8Array>(
    {
      start(given) {
        controller = given;
        // The body of a reply that is never sent, as for HEAD, is neither read nor cancelled.
        startReadTimer();
      },
      async pull(given) {
        clearTimeout(readTimer);
        let text: string;
        try {
          text = await nextChunk();
        } catch (error) {
          logger.warn("live stream ended by a failure", { error: messageOf(error) });
          text = endFrame("error");
          last = true;
        }
        if (closed) return;
        given.enqueue(encoder.encode(text));
        if (!last) return startReadTimer();
        close();
        given.close();
      },
      cancel: close,
    },
    { highWaterMark: 0 },
  );

  return {
    body,
    get behindMs() {
      const since = behindSince ?? wokenAt;
      return since === undefined ? 0 : performance.now() - since;
    },
    wake(sessionId) {
      feed.wake(sessionId);
      woken = true;
      wokenAt ??= performance.now();
      resume();
    },
    end(reason) {
      ending ??= reason;
      resume();
    },
  };
}
