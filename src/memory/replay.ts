import type { Turn } from "../db/json-columns.ts";

/** Of the conversation as text, characters; and of one turn in it. */
const REPLAY_CHARS = 64 * 1024;
const TURN_CHARS = 16 * 1024;

/**
 * The prompt with turns that the agent does not remember before it: the newest ones, in order, within a bound.
 * @param lost whether it remembers nothing at all.
 */
export function withTurns(turns: readonly Turn[], prompt: string, lost: boolean): string {
  if (turns.length === 0) return prompt;
  const parts: string[] = [];
  let left = REPLAY_CHARS;
  for (const { role, content } of turns.toReversed()) {
    const text = `<turn role="${role}">\n${cut(content)}\n</turn>`;
    if (text.length > left) break;
    left -= text.length;
    parts.unshift(text);
  }
  const omitted = turns.length - parts.length;
  const head = lost
    ? "You have worked in this conversation before, but your memory of it was lost. This is what was said, for your information; the work is in the repository as you left it."
    : "Since what you remember, this was said in the conversation, for your information.";
  const more = omitted > 0 ? ` ${omitted} earlier turns are left out.` : "";
  return `${head}${more}\n\n<conversation>\n${parts.join("\n")}\n</conversation>\n\nThe present task:\n\n${prompt}`;
}

const cut = (text: string) =>
  text.length <= TURN_CHARS ? text : `${text.slice(0, TURN_CHARS).toWellFormed()}\n[… cut]`;
