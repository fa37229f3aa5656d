import type { ProjectDto, RunMode, SessionDto } from "../../../sdk/src/index.ts";

/** Where what was not chosen comes from: `made`, of a session that has no prompt yet. */
export type Source = "session" | "made" | "project" | "service";

/** What a prompt has that chooses nothing. Null: what the service has. */
export type Usual = Readonly<{
  [Field in "agent" | "model" | "mode"]: {
    value: (Field extends "mode" ? RunMode : string) | null;
    from: Source;
  };
}>;

/** What the next prompt of a session goes on with. */
export const usualOf = (session: Pick<SessionDto, "agent" | "model" | "mode" | "promptsVersion">): Usual =>
  usual(session.promptsVersion === 0 ? "made" : "session", session);

/** What the first prompt of a session of a project's repository begins with. */
export const usualOfProject = (project: ProjectDto | undefined): Usual => usual("project", project);

function usual(
  from: Source,
  known: { agent?: string | null; model?: string | null; mode?: RunMode | null } = {},
): Usual {
  const of = <Value>(value: Value | null | undefined) =>
    value == null ? { value: null, from: "service" as const } : { value, from };
  return { agent: of(known.agent), model: of(known.model), mode: of(known.mode) };
}
