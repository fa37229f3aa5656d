import type { PromptDto } from "../../../sdk/src/index.ts";

const MAX = 160;

/** What a prompt asks, in its first words. */
export function promptText({ kind, data }: Pick<PromptDto, "kind" | "data">): string {
  if (kind === "push") return "Push of the branch";
  if (kind === "sync") return "Sync with the target branch";
  const text = textIn(data).replace(/\s+/g, " ").trim();
  return text.length > MAX ? `${text.slice(0, MAX)} …` : text || "A prompt without text";
}

/** Clients send prompts in several forms, and the service keeps them as sent. */
function textIn(data: unknown): string {
  if (typeof data === "string") return data;
  if (Array.isArray(data)) return data.map(textIn).join(" ");
  if (typeof data !== "object" || data === null) return "";
  const fields = data as Record<string, unknown>;
  for (const name of ["content", "prompt", "text", "message"])
    if (fields[name] !== undefined) return textIn(fields[name]);
  return "";
}
