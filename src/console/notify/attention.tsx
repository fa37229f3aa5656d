import { useNavigate } from "@tanstack/react-router";
import { useEffect, useRef } from "react";
import type { SessionDto } from "../../../sdk/src/index.ts";
import { groupOf, stateOf } from "../inbox/groups.ts";
import { useSessions } from "../live/live.tsx";
import { notify } from "./notifications.ts";
import { setWanting } from "./title.ts";

/** A session that asks is news, also where its end is not read yet. */
const newsOf = (session: SessionDto): string => `${session.id} ${groupOf(session) === "answer"}`;

/** Counts the sessions that want something in the title, and tells of those that newly do. */
export function Attention() {
  const { sessions, complete } = useSessions();
  const navigate = useNavigate();
  /** Undefined until all sessions are known: what has been so before the page was opened is no news. */
  const known = useRef<ReadonlySet<string>>(undefined);

  useEffect(() => {
    const wanting = [...sessions.values()].filter(
      (one) => groupOf(one) === "answer" || (one.unread && groupOf(one) !== "done"),
    );
    setWanting(wanting.length);
    for (const session of wanting)
      if (known.current && !known.current.has(newsOf(session)))
        notify({
          id: session.id,
          title: session.title,
          body: `${stateOf(session)} · ${session.branch}`,
          onOpen: () => void navigate({ to: "/s/$id", params: { id: session.id } }),
        });
    if (complete || known.current) known.current = new Set(wanting.map(newsOf));
  }, [sessions, complete, navigate]);
  // Whoever is signed out is not told of them any more.
  useEffect(() => () => setWanting(0), []);
  return null;
}
