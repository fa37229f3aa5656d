import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import type { SessionDto } from "../../../sdk/src/index.ts";
import { commentsQuery, reviewKey } from "./queries.ts";

/** Reads again what has changed: the comments after each change of one, the rest when a run began or ended. */
export function useLiveReview(session: SessionDto): void {
  const queries = useQueryClient();
  const { id, commentsVersion, uiStatus, inboxStatus, sessionStatus, waitingReason, branch } = session;
  const state = [uiStatus, inboxStatus, sessionStatus, waitingReason, branch].join("\n");
  const seen = useRef({ commentsVersion, state });
  useEffect(() => {
    const before = seen.current;
    seen.current = { commentsVersion, state };
    if (before.state !== state) void queries.invalidateQueries({ queryKey: reviewKey(id) });
    else if (before.commentsVersion !== commentsVersion) void queries.invalidateQueries(commentsQuery(id));
  }, [queries, id, commentsVersion, state]);
}
