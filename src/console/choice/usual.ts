import { useQuery } from "@tanstack/react-query";
import type { PromptDto, RunMode } from "../../../sdk/src/index.ts";
import { projectsQuery } from "../projects/queries.ts";
import { projectFor } from "../projects/repository.ts";

/** Where what was not chosen comes from. */
export type Source = "session" | "original" | "project" | "service";

/** What a prompt has that chooses nothing. Null: what the service, or the session that it was forked from, has. */
export type Usual = Readonly<{
  [Field in "agent" | "model" | "mode"]: {
    value: (Field extends "mode" ? RunMode : string) | null;
    from: Source;
  };
}>;

/**
 * What the next prompt of a repository's session goes on with.
 * @param session undefined: a new one. Its prompts are undefined while they are not known.
 * @returns undefined while it is not known.
 */
export function useUsual(
  repo: string,
  session?: { parent: string | null; prompts: readonly PromptDto[] | undefined },
): Usual | undefined {
  const latest = session?.prompts?.findLast(({ kind }) => kind === "agent");
  const isFirst = session === undefined || (session.prompts !== undefined && !latest);
  const isForked = isFirst && session !== undefined && session.parent !== null;
  const asksProject = isFirst && !isForked;
  const { data: projects, isPending } = useQuery({ ...projectsQuery, enabled: asksProject });
  if (latest) return usual("session", latest);
  if (isForked) return usual("original");
  return asksProject && !isPending ? usual("project", projectFor(projects, repo)) : undefined;
}

function usual(
  from: Source,
  known: Partial<Pick<PromptDto, "agent" | "model">> & { mode?: RunMode | null } = {},
): Usual {
  const of = <Value>(value: Value | null | undefined) =>
    value == null && from !== "original"
      ? { value: null, from: "service" as const }
      : { value: value ?? null, from };
  return { agent: of(known.agent), model: of(known.model), mode: of(known.mode) };
}
