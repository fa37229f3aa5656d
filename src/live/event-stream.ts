import type { Logger } from "../observability/logger.ts";
import { messageOf } from "../shared/errors.ts";
import { type Farewell, farewell, greeting, HEARTBEAT } from "./frames.ts";

/** What a stream sends, in pieces, as they are asked for. */
export interface Feed {
  /** The next piece; "" where there is nothing to say now. `last`: there never will be again. */
  read(): Promise<{ text: string; last?: boolean }>;
  /** This session may have changed; without a name: any may have. Costs nothing until the next read. */
  wake(sessionId?: string): void;
}

export interface EventStream {
  body: ReadableStream<Uint8Array>;
  /** Milliseconds since what the reader has not been given yet was there; 0 where it has everything. */
  readonly behindMs: number;
  wake(sessionId?: string): void;
  /** Says why, then closes. */
  end(reason: Farewell): void;
}

/** Milliseconds that a client waits before it comes back. */
const RETRY_MS = 1_000;

/**
 * A feed as a body. Nothing is read ahead: the next piece is made when the reader has taken the one before, so one
 * piece is all that a stream ever holds. A reader that takes nothing for `patienceMs` is cut off.
 * @param options.expiresAt milliseconds since 1970; the stream ends then.
 * @param options.onClosed called once, however it ends, also when nobody ever reads.
 */
export function eventStream(options: {
  feed: Feed;
  expiresAt: number;
  heartbeatMs: number;
  patienceMs: number;
  onClosed: () => void;
  logger: Logger;
}): EventStream {
  const { feed, expiresAt, heartbeatMs, patienceMs, onClosed, logger } = options;
  const encoder = new TextEncoder();
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  let greeted = false;
  let ending: Farewell | undefined;
  let last = false;
  let closed = false;
  /** Woken since the last read began, and when first (performance.now()). */
  let fresh = false;
  let freshAt: number | undefined;
  /** Since when there may be something that the reader has not been given. */
  let behindSince: number | undefined = performance.now();
  let rouse: () => void = () => undefined;
  let patience: ReturnType<typeof setTimeout> | undefined;

  const close = () => {
    if (closed) return;
    closed = true;
    clearTimeout(patience);
    rouse();
    onClosed();
  };
  const beginPatience = () => {
    patience = setTimeout(() => {
      close();
      logger.info("a live stream's reader takes nothing: cut off");
      // An error, not a close: that would wait for the reader to take the rest.
      controller?.error(new DOMException("The reader is too slow.", "AbortError"));
    }, patienceMs);
  };

  /** Until woken, or until it is time to look by ourselves. @returns true for the latter. */
  const pause = async (): Promise<boolean> => {
    if (fresh || ending || closed) return false;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(true), Math.max(0, Math.min(heartbeatMs, expiresAt - Date.now())));
    rouse = () => resolve(false);
    const timeIsUp = await promise;
    clearTimeout(timer);
    return timeIsUp;
  };

  const nextPiece = async (): Promise<string> => {
    if (!greeted) {
      greeted = true;
      return greeting(RETRY_MS);
    }
    for (let quiet = false; !closed; ) {
      if (Date.now() >= expiresAt) ending ??= "token_expired";
      if (ending) {
        last = true;
        return farewell(ending);
      }
      fresh = false;
      behindSince ??= freshAt;
      freshAt = undefined;
      const piece = await feed.read();
      last = piece.last ?? false;
      if (piece.text === "") behindSince = freshAt;
      if (piece.text !== "" || last) return piece.text;
      if (quiet) return HEARTBEAT;
      quiet = await pause();
      // A notification may be lost on the way; so what is quiet is looked at again now and then.
      if (quiet) feed.wake();
    }
    return "";
  };

  const body = new ReadableStream<Uint8Array>(
    {
      start(given) {
        controller = given;
        // A reply that is never sent, as to a HEAD, is never read and never cancelled.
        beginPatience();
      },
      async pull(given) {
        clearTimeout(patience);
        let text: string;
        try {
          text = await nextPiece();
        } catch (error) {
          logger.warn("a live stream ended: its database does not answer", { error: messageOf(error) });
          text = farewell("error");
          last = true;
        }
        if (closed) return;
        given.enqueue(encoder.encode(text));
        if (!last) return beginPatience();
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
      const since = behindSince ?? freshAt;
      return since === undefined ? 0 : performance.now() - since;
    },
    wake(sessionId) {
      feed.wake(sessionId);
      fresh = true;
      freshAt ??= performance.now();
      rouse();
    },
    end(reason) {
      ending ??= reason;
      rouse();
    },
  };
}
