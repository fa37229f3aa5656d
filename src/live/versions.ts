import type { Orm } from "../db/client.ts";
import { sessionVersions } from "./store.ts";

/** For how long questions of idle streams are collected, milliseconds. */
const WINDOW_MS = 200;

/** Tells whether a session has changed, to many idle streams by one statement. */
export interface VersionReader {
  /** The session's version, of a moment after the call; undefined: it was deleted. */
  versionOf(sessionId: string): Promise<number | undefined>;
}

/**
 * Each idle stream asks with each heartbeat: thousands of them would have the database answer hundreds of times a second that
 * nothing has changed.
 */
export function createVersionReader(orm: Orm): VersionReader {
  let asked: { ids: Set<string>; answer: Promise<Map<string, number>> } | undefined;

  const ask = () => {
    const ids = new Set<string>();
    const { promise, resolve, reject } = Promise.withResolvers<Map<string, number>>();
    setTimeout(() => {
      asked = undefined;
      sessionVersions(orm, [...ids]).then(resolve, reject);
    }, WINDOW_MS);
    return { ids, answer: promise };
  };

  return {
    async versionOf(sessionId) {
      asked ??= ask();
      asked.ids.add(sessionId);
      return (await asked.answer).get(sessionId);
    },
  };
}
