import type { PromptDto } from "../../../sdk/src/index.ts";
import { promptText } from "../ui/prompt-text.ts";

const MAX = 160;

/** What a prompt is about, in its first words. */
export function promptTitle({ kind, data }: Pick<PromptDto, "kind" | "data">): string {
  if (kind === "push") return "Push of the branch";
  if (kind === "sync") return "Sync with the target branch";
  const text = promptText(data).replace(/\s+/g, " ").trim();
  return text.length > MAX ? `${text.slice(0, MAX)} …` : text || "A prompt without text";
}
