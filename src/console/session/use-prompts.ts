import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback } from "react";
import type { PromptDto, SessionDto } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";

const NONE: readonly PromptDto[] = [];

/** The prompts of a session in their order, read again whenever the session says that one of them has changed. */
export function usePrompts({ id, promptsVersion }: SessionDto) {
  const queries = useQueryClient();
  const query = useQuery({
    queryKey: ["session", id, "prompts", promptsVersion],
    queryFn: async ({ signal }) => {
      const prompts: PromptDto[] = [];
      for await (const prompt of client.prompts.list(id, {}, { signal })) prompts.push(prompt);
      return prompts;
    },
    placeholderData: keepPreviousData,
  });
  const changed = useCallback(() => queries.invalidateQueries({ queryKey: ["session", id] }), [queries, id]);
  return { ...query, prompts: query.data ?? NONE, changed };
}
