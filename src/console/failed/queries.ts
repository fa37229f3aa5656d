import { queryOptions, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef } from "react";
import type { DlqDto, MessageDto, UserEvent } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import { useEvents } from "../live/live.tsx";
import type { FailedSearch } from "./address.ts";
import { subjectOf } from "./subject.ts";

/** Of a run, the end tells most. */
const LAST_MESSAGES = 8;
/** The largest page. */
const PAGE = 500;
/** A session that runs tells much; the list is read once for all of it. */
const GATHER_MS = 300;

export const deadLettersQuery = (status: FailedSearch["status"] = "Pending") =>
  queryOptions({
    queryKey: ["dead-letters", status],
    queryFn: async ({ signal }) =>
      (await client.deadLetters.list(status === "all" ? {} : { status }, { signal })).data,
  });

/** The last messages of a prompt. The service lists them from the first one on. */
export const lastMessagesQuery = (promptId: string) =>
  queryOptions({
    queryKey: ["dead-letters", "messages", promptId],
    queryFn: async ({ signal }) => {
      let last: MessageDto[] = [];
      const first = await client.messages.list(promptId, { limit: PAGE }, { signal });
      for await (const page of first.iterPages()) last = [...last, ...page.data].slice(-LAST_MESSAGES);
      return last;
    },
  });

/** Reads the list again when a session has failed, or one of those in the list has changed. */
export function useLiveDeadLetters(entries: readonly DlqDto[] | undefined): void {
  const queries = useQueryClient();
  const known = useRef(new Set<string | undefined>());
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => {
    known.current = new Set(entries?.map((entry) => subjectOf(entry).sessionId));
  }, [entries]);
  useEffect(() => () => clearTimeout(timer.current), []);
  useEvents(
    useCallback(
      (event: UserEvent) => {
        if (event.event !== "session" && event.event !== "deleted") return;
        const failed =
          event.event === "session" &&
          (event.data.inboxStatus === "Failed" || event.data.sessionStatus === "Failed");
        if (!failed && !known.current.has(event.data.id)) return;
        clearTimeout(timer.current);
        timer.current = setTimeout(
          () => void queries.invalidateQueries({ queryKey: ["dead-letters"] }),
          GATHER_MS,
        );
      },
      [queries],
    ),
  );
}
