import { boundedValue, cleanText, cut } from "../agents/events.ts";
import { asObject, type JsonObject, textOf } from "../shared/json.ts";

const TEXT_LIMIT = 64 * 1024;
const DETAIL_LIMIT = 16 * 1024;
const NAME_LIMIT = 100;

/** Names that clients know from Claude Code, by ACP's kinds. */
const NAMES: Readonly<Record<string, string>> = {
  read: "Read",
  edit: "Edit",
  delete: "Delete",
  move: "Move",
  search: "Grep",
  execute: "Bash",
  think: "Think",
  fetch: "WebFetch",
  switch_mode: "ExitPlanMode",
};
/** What a normalised event says already. */
const KNOWN_FIELDS = new Set(["sessionUpdate", "toolCallId", "status", "rawInput", "rawOutput", "content"]);

const listOf = (value: unknown): JsonObject[] =>
  Array.isArray(value) ? value.slice(0, 1_000).map((one) => asObject(one) ?? {}) : [];

/** Tool calls of ACP, whose updates have only what is new. */
export const merged = (earlier: JsonObject, update: JsonObject): JsonObject => ({
  ...earlier,
  ...Object.fromEntries(Object.entries(update).filter(([, value]) => value !== null && value !== undefined)),
});

/** Its name and input, as Claude Code would have them. */
export function toolOf(call: JsonObject): { tool: string; input: JsonObject; title: string } {
  const kind = textOf(call["kind"]);
  const title = cut(cleanText(textOf(call["title"])), 1_000);
  const own = textOf(call["name"]) || title || "Tool";
  const tool = Object.hasOwn(NAMES, kind) ? (NAMES[kind] ?? own) : cut(cleanText(own), NAME_LIMIT);
  return { tool, input: boundedValue(inputOf(call, kind, title), TEXT_LIMIT) as JsonObject, title };
}

function inputOf(call: JsonObject, kind: string, title: string): JsonObject {
  const raw = asObject(call["rawInput"]) ?? {};
  const diff = listOf(call["content"]).find((one) => one["type"] === "diff");
  const path =
    textOf(raw["file_path"]) ||
    textOf(raw["filePath"]) ||
    textOf(diff?.["path"]) ||
    textOf(listOf(call["locations"])[0]?.["path"]);
  const known: JsonObject = {};
  if (kind === "execute") {
    known["command"] = commandOf(raw["command"]) || title;
    if (title && title !== known["command"]) known["description"] = title;
  } else if (path) known["file_path"] = path;
  if (kind === "edit" && diff) {
    known["old_string"] = textOf(diff["oldText"]);
    known["new_string"] = textOf(diff["newText"]);
  }
  if (Object.keys(known).length === 0 && title && Object.keys(raw).length === 0) known["title"] = title;
  return { ...known, ...raw, ...(kind === "execute" && { command: known["command"] }) };
}

const commandOf = (command: unknown): string =>
  Array.isArray(command) ? command.map(textOf).join(" ") : textOf(command);

/** What a tool call has brought, as text. */
export function resultOf(call: JsonObject): string {
  const parts = listOf(call["content"]).map((one) => {
    if (one["type"] === "content") return contentText(asObject(one["content"]));
    if (one["type"] === "diff") return diffText(one);
    return one["type"] === "terminal" ? `[terminal ${textOf(one["terminalId"])}]` : "";
  });
  const text = parts.filter(Boolean).join("\n") || outputText(call["rawOutput"]);
  return cut(cleanText(text), TEXT_LIMIT);
}

/** The text of a block; a block that is none is named. */
export function contentText(block: JsonObject | undefined): string {
  if (block?.["type"] === "text") return textOf(block["text"]);
  if (block?.["type"] === "resource_link") return textOf(block["uri"]);
  if (block?.["type"] === "resource") return textOf(asObject(block["resource"])?.["text"]);
  return block ? `[${cut(textOf(block["type"]), NAME_LIMIT)}]` : "";
}

function diffText(diff: JsonObject): string {
  const lines = (mark: string, value: unknown) => {
    const text = textOf(value).replace(/\n$/, "");
    return text === "" ? "" : text.replace(/^/gm, mark);
  };
  return [textOf(diff["path"]), lines("-", diff["oldText"]), lines("+", diff["newText"])]
    .filter(Boolean)
    .join("\n");
}

function outputText(output: unknown): string {
  if (typeof output === "string") return output;
  const object = asObject(output);
  if (!object) return "";
  const text = ["formatted_output", "output", "stdout", "error"].map((name) => textOf(object[name]));
  return text.find(Boolean) ?? JSON.stringify(boundedValue(object, TEXT_LIMIT));
}

/** The update itself, if it says more than the event. */
export function beside(update: JsonObject, known: readonly string[] = []): { acp?: unknown } {
  const more = Object.entries(update).filter(
    ([name, value]) =>
      !KNOWN_FIELDS.has(name) && !known.includes(name) && value !== null && value !== undefined,
  );
  return more.length > 0 ? { acp: boundedValue(Object.fromEntries(more), DETAIL_LIMIT) } : {};
}
