import { useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useEffect, useState, useSyncExternalStore } from "react";
import type { SessionDto, UserEvent } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import { SIGN_IN_KEY } from "../queries.ts";
import { untilIdle } from "../ui/idle.ts";
import { openFeed } from "./feed.ts";
import { LiveSessions, type SessionsSnapshot } from "./sessions.ts";

type Listener = (event: UserEvent) => void;

interface Live {
  sessions: LiveSessions;
  /** Hears every event of the user's stream. @returns what ends that. */
  listen(listener: Listener): () => void;
}

const Context = createContext<Live | undefined>(undefined);

/** Keeps everything below it up to date: one stream for all that the page shows. */
export function LiveProvider({ userId, children }: { userId: string; children: ReactNode }) {
  const queries = useQueryClient();
  const [live] = useState(() => {
    const listeners = new Set<Listener>();
    return {
      sessions: new LiveSessions(untilIdle),
      listeners,
      listen(listener: Listener) {
        listeners.add(listener);
        return () => void listeners.delete(listener);
      },
    };
  });
  const [failure, setFailure] = useState<unknown>();

  useEffect(() => {
    const ended = new AbortController();
    const { sessions, listeners } = live;
    openFeed({
      client,
      userId,
      after: sessions.first,
      signal: ended.signal,
      handlers: {
        onEvent(event) {
          sessions.apply(event);
          for (const listener of listeners) listener(event);
        },
        onBack() {
          void queries.invalidateQueries();
          // Lost again: the next time will do.
          sessions.reload(client, ended.signal).catch(() => undefined);
        },
        onRefused: () => void queries.invalidateQueries({ queryKey: SIGN_IN_KEY }),
      },
    });
    const load = async () => {
      for (;;) {
        try {
          return await sessions.load(client, ended.signal);
        } catch (error) {
          if (ended.signal.aborted) return;
          setFailure(error);
          await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
        }
      }
    };
    void load().then(() => setFailure(undefined));
    return () => ended.abort();
  }, [live, queries, userId]);

  return (
    <Context value={live}>
      <Failure value={failure}>{children}</Failure>
    </Context>
  );
}

const RETRY_MS = 3_000;
const Failure = createContext<unknown>(undefined);

function useLive(): Live {
  const live = useContext(Context);
  if (!live) throw new Error("used outside of LiveProvider");
  return live;
}

/** The user's sessions, live; `failure` while they cannot be read. */
export function useSessions(): SessionsSnapshot & { failure: unknown } {
  const { sessions } = useLive();
  return { ...useSyncExternalStore(sessions.subscribe, sessions.getSnapshot), failure: useContext(Failure) };
}

/** One session, live; undefined while it is not known, or if it does not exist. */
export function useSession(id: string): SessionDto | undefined {
  const { sessions } = useLive();
  return useSyncExternalStore(sessions.subscribe, () => sessions.getSnapshot().sessions.get(id));
}

/** Shows at once what the server will tell soon. */
export function useExpectation(): LiveSessions["expect"] {
  const { sessions } = useLive();
  return (id, change) => sessions.expect(id, change);
}

/** Calls `listener` with every event while the component is shown. Memoize it. */
export function useEvents(listener: Listener): void {
  const { listen } = useLive();
  useEffect(() => listen(listener), [listen, listener]);
}
