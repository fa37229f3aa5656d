/** Longest nesting of what clients send as a prompt; the rest is no text. */
const MAX_DEPTH = 8;

/** The text of a prompt in any form that clients send: a text; an object that has one; a list of those. */
export function promptText(data: unknown, depth = 0): string {
  if (typeof data === "string") return data.trim();
  if (depth > MAX_DEPTH || typeof data !== "object" || data === null) return "";
  if (Array.isArray(data))
    return data
      .map((one) => promptText(one, depth + 1))
      .filter(Boolean)
      .join("\n\n");
  const { content, prompt, text, message } = data as Record<string, unknown>;
  return promptText(content ?? prompt ?? text ?? message, depth + 1);
}
