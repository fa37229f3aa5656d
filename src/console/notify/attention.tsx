import { useNavigate } from "@tanstack/react-router";
import { useEffect, useRef } from "react";
import { groupOf, stateOf } from "../inbox/groups.ts";
import { useSessions } from "../live/live.tsx";
import { notify } from "./notifications.ts";
import { setWanting } from "./title.ts";

/** Counts the sessions that want something in the title, and tells of those that newly do. */
export function Attention() {
  const { sessions, complete } = useSessions();
  const navigate = useNavigate();
  /** Undefined until all sessions are known: what has been so before the page was opened is no news. */
  const known = useRef<ReadonlySet<string>>(undefined);

  useEffect(() => {
    const unread = [...sessions.values()].filter((one) => one.unread && groupOf(one) !== "done");
    setWanting(unread.length);
    for (const session of unread)
      if (known.current && !known.current.has(session.id))
        notify({
          id: session.id,
          title: session.title,
          body: `${stateOf(session)} · ${session.branch}`,
          onOpen: () => void navigate({ to: "/s/$id", params: { id: session.id } }),
        });
    if (complete || known.current) known.current = new Set(unread.map((one) => one.id));
  }, [sessions, complete, navigate]);
  // Whoever is signed out is not told of them any more.
  useEffect(() => () => setWanting(0), []);
  return null;
}
