import type { User } from "../auth/claims.ts";
import type { Database } from "../db/client.ts";
import type { Logger } from "../observability/logger.ts";
import { CHANNELS } from "../queue/names.ts";
import { AppError } from "../shared/errors.ts";
import { type EventStream, eventStream, type Feed } from "./event-stream.ts";

/** Most open streams of one user in one process. */
const STREAMS_PER_USER = 50;
/** Idle time after which a stream sends a heartbeat, and looks for changes whose notification was lost. */
const HEARTBEAT_MS = 15_000;
/** A reader that takes nothing for this long is disconnected. */
const READ_TIMEOUT_MS = 30_000;
/** Retry-After, in seconds, of a user with too many open streams. */
const RETRY_AFTER_S = 10;

/** All live streams of this process, and the listener that wakes them. */
export interface Hub {
  /** Number of open streams. */
  readonly open: number;
  /** `behindMs` of the stream that is furthest behind. */
  readonly behindMs: number;
  /**
   * Opens a stream that is woken by changes of one session, or of all of its user's sessions. It is registered before
   * its first read.
   * @throws AppError `stream_limit_reached` above the user's limit; `shutting_down` once `endStreams` was called.
   */
  stream(options: {
    user: Pick<User, "id" | "expiresAt">;
    isTrusted: () => Promise<boolean>;
    sessionId?: string;
    feed: Feed;
  }): ReadableStream;
  /** Ends all streams and refuses new ones. */
  endStreams(): void;
  /** Stops listening for changes. */
  close(): Promise<void>;
}

/** Starts to listen. Tests set times and the limit per user; the defaults are 15 s, 30 s and 50. */
export async function openHub(options: {
  database: Pick<Database, "listen">;
  logger: Logger;
  heartbeatMs?: number;
  readTimeoutMs?: number;
  perUser?: number;
}): Promise<Hub> {
  const { database, logger } = options;
  const { heartbeatMs = HEARTBEAT_MS, readTimeoutMs = READ_TIMEOUT_MS, perUser = STREAMS_PER_USER } = options;
  const all = new Set<EventStream>();
  const bySession = createIndex();
  const byUser = createIndex();
  const counts = new Map<string, number>();
  let ending = false;

  const unlisten = await database.listen(CHANNELS.session, (payload) => {
    // Sent after a lost connection is back: notifications may have been missed.
    if (payload === "") {
      for (const stream of all) stream.wake();
      return;
    }
    const [sessionId = "", , ...user] = payload.split(" ");
    for (const stream of bySession.get(sessionId)) stream.wake(sessionId);
    for (const stream of byUser.get(user.join(" "))) stream.wake(sessionId);
  });

  return {
    get open() {
      return all.size;
    },
    get behindMs() {
      let most = 0;
      for (const { behindMs } of all) most = Math.max(most, behindMs);
      return most;
    },
    stream({ user, isTrusted, sessionId, feed }) {
      if (ending) throw new AppError("shutting_down", "The service is shutting down; try again in a moment.");
      const count = counts.get(user.id) ?? 0;
      if (count >= perUser)
        throw new AppError(
          "stream_limit_reached",
          `You have ${count} open streams, which is the limit. Close one, or follow all your sessions with one GET /events.`,
          { retryAfter: RETRY_AFTER_S },
        );
      counts.set(user.id, count + 1);
      const [index, key] = sessionId === undefined ? [byUser, user.id] : [bySession, sessionId];
      const stream = eventStream({
        feed,
        expiresAt: user.expiresAt,
        isTrusted,
        heartbeatMs,
        readTimeoutMs,
        logger,
        onClosed() {
          all.delete(stream);
          index.delete(key, stream);
          const left = (counts.get(user.id) ?? 1) - 1;
          if (left > 0) counts.set(user.id, left);
          else counts.delete(user.id);
        },
      });
      all.add(stream);
      index.add(key, stream);
      return stream.body;
    },
    endStreams() {
      ending = true;
      for (const stream of all) stream.end("shutdown");
    },
    close: unlisten,
  };
}

/** Streams by the key that wakes them. */
function createIndex() {
  const sets = new Map<string, Set<EventStream>>();
  return {
    get: (key: string): Iterable<EventStream> => sets.get(key) ?? [],
    add(key: string, stream: EventStream) {
      const set = sets.get(key) ?? new Set();
      sets.set(key, set.add(stream));
    },
    delete(key: string, stream: EventStream) {
      const set = sets.get(key);
      set?.delete(stream);
      if (set?.size === 0) sets.delete(key);
    },
  };
}
