import type { User } from "../auth/claims.ts";
import type { Database } from "../db/client.ts";
import type { Logger } from "../observability/logger.ts";
import { CHANNELS } from "../queue/names.ts";
import { AppError } from "../shared/errors.ts";
import { type EventStream, eventStream, type Feed } from "./event-stream.ts";

/** Open streams that one user may have in one process. */
const STREAMS_PER_USER = 50;
/** A comment after so long a silence; the table is looked at then, too. */
const HEARTBEAT_MS = 15_000;
/** A reader that takes nothing for so long is cut off. */
const PATIENCE_MS = 30_000;

/** All live streams of this process, and the one listener that wakes them. */
export interface Hub {
  /** Streams that are open now. */
  readonly open: number;
  /** Of the stream that is furthest behind: milliseconds since what its reader has not been given yet was there. */
  readonly behindMs: number;
  /**
   * A new stream, woken by changes of one session, or of all of its user's. Registered before it first reads.
   * @throws AppError `too_many_requests` above the user's limit; `unavailable` once the process is ending.
   */
  stream(options: { user: Pick<User, "id" | "expiresAt">; sessionId?: string; feed: Feed }): ReadableStream;
  /** Says goodbye to every reader and takes no new ones. */
  endStreams(): void;
  /** Stops listening. */
  close(): Promise<void>;
}

/** Begins to listen. Times are for tests; the defaults are 15 s, 30 s and 50. */
export async function openHub(options: {
  database: Pick<Database, "listen">;
  logger: Logger;
  heartbeatMs?: number;
  patienceMs?: number;
  perUser?: number;
}): Promise<Hub> {
  const { database, logger } = options;
  const { heartbeatMs = HEARTBEAT_MS, patienceMs = PATIENCE_MS, perUser = STREAMS_PER_USER } = options;
  const all = new Set<EventStream>();
  const bySession = createIndex();
  const byUser = createIndex();
  const counts = new Map<string, number>();
  let ending = false;

  const unlisten = await database.listen(CHANNELS.session, (payload) => {
    // Listening again after a lost connection: nobody knows what was missed.
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
    stream({ user, sessionId, feed }) {
      if (ending) throw new AppError("shutting_down", "The service is ending; come back in a moment.");
      const count = counts.get(user.id) ?? 0;
      if (count >= perUser)
        throw new AppError(
          "stream_limit_reached",
          `You have ${count} live streams open, which is the limit. Close one, or follow all your sessions with one GET /events.`,
        );
      counts.set(user.id, count + 1);
      const [index, key] = sessionId === undefined ? [byUser, user.id] : [bySession, sessionId];
      const stream = eventStream({
        feed,
        expiresAt: user.expiresAt,
        heartbeatMs,
        patienceMs,
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

/** Streams by what wakes them. */
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
