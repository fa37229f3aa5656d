import type { MessageDto } from "../../../sdk/src/index.ts";

/** Characters of one line; the session shows everything. */
const MAX_TEXT = 2_000;

export interface MessageLine {
  who: string;
  text: string;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const textOf = (value: unknown): string => {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "");
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)} …` : text;
};

function lineOf(role: string, block: unknown): MessageLine[] {
  if (!isRecord(block)) return [{ who: role, text: textOf(block) }];
  switch (block["type"]) {
    case "text":
      return [{ who: role, text: textOf(block["text"]) }];
    case "tool_use":
      return [{ who: `Tool ${textOf(block["name"])}`, text: textOf(block["input"]) }];
    case "tool_result":
      return [
        { who: block["is_error"] === true ? "Tool failed" : "Tool result", text: textOf(block["content"]) },
      ];
    default:
      return [];
  }
}

/** What a message says, in a few lines. Agents print what they like: everything is text. */
export function linesOf({ data }: MessageDto): MessageLine[] {
  if (!isRecord(data)) return [{ who: "Message", text: textOf(data) }];
  const { type, message, result } = data as Record<string, unknown>;
  if (isRecord(message)) {
    const role = message["role"] === "assistant" ? "Agent" : "User";
    const content = message["content"];
    return Array.isArray(content)
      ? content.flatMap((block) => lineOf(role, block))
      : [{ who: role, text: textOf(content) }];
  }
  return type === "result" && result !== undefined ? [{ who: "Result", text: textOf(result) }] : [];
}
