import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect } from "react";
import type { PromptDto, UserEvent } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import { useEvents } from "../live/live.tsx";

const NONE: readonly PromptDto[] = [];

/** The prompts of a session in their order, read again whenever the stream tells that something of it has changed. */
export function usePrompts(sessionId: string) {
  const queries = useQueryClient();
  const query = useQuery({
    queryKey: ["session", sessionId, "prompts"],
    queryFn: async ({ signal }) => {
      const prompts: PromptDto[] = [];
      for await (const prompt of client.prompts.list(sessionId, {}, { signal })) prompts.push(prompt);
      return prompts;
    },
  });
  const prompts = query.data ?? NONE;
  const changed = useCallback(
    () => queries.invalidateQueries({ queryKey: ["session", sessionId] }),
    [queries, sessionId],
  );
  useEvents(
    useCallback(
      (event: UserEvent) => {
        if (event.event === "session" && event.data.id === sessionId) void changed();
      },
      [changed, sessionId],
    ),
  );
  return { ...query, prompts, changed };
}

/** A prompt that speaks has been started: what is known of it is read again, if it says otherwise. */
export function useSpeaking(options: {
  prompts: readonly PromptDto[];
  said: ReadonlyMap<string, unknown>;
  changed: () => Promise<void>;
}): void {
  const { prompts, said, changed } = options;
  const isBehind = [...said.keys()].some((promptId) => {
    const known = prompts.find(({ id }) => id === promptId);
    return !known || (known.status === "Queued" && known.started_at === null);
  });
  useEffect(() => {
    if (isBehind) void changed();
  }, [isBehind, changed]);
}
