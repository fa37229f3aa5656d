import type { PromptDto } from "../../../sdk/src/index.ts";

/** What was chosen for a prompt: its agent, its model, and that it asks; no agent works on one of another kind. */
export function choiceOf({ kind, agent, model, mode }: PromptDto): string[] {
  if (kind !== "agent") return [];
  return [agent, model, mode === "ask" ? "asks first" : null].filter((one) => one !== null);
}
