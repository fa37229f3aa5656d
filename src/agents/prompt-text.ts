import { AppError } from "../shared/errors.ts";

/**
 * Extracts the text for the agent from any form that clients send: a string; an object with content, prompt, text or
 * message; a list of those, joined by blank lines; content as a list of text blocks. "" if there is no text.
 */
export function promptText(data: unknown): string {
  if (typeof data === "string") return data.trim();
  if (Array.isArray(data)) return data.map(promptText).filter(Boolean).join("\n\n");
  if (typeof data !== "object" || data === null) return "";
  const { content, prompt, text, message } = data as Record<string, unknown>;
  return promptText(content ?? prompt ?? text ?? message);
}

/** The text of a prompt that is being submitted. @throws AppError `prompt_empty` if there is none. */
export function requirePromptText(data: unknown, field: string): string {
  const text = promptText(data);
  if (text === "")
    throw new AppError(
      "prompt_empty",
      `${field}: contains no text; send a string, {"content": "…"} or [{"content": "…"}]`,
    );
  return text;
}
