import { boundedValue, cleanText } from "../agents/events.ts";
import { asObject, type JsonObject, textOf } from "../shared/json.ts";
import { beside, contentText, merged, resultOf, toolOf } from "./acp-tools.ts";
import { assistant, type Output } from "./output.ts";

/** A text is printed in pieces of at most about this size. */
const PIECE = 64 * 1024;
const DETAIL_LIMIT = 16 * 1024;
/** Tool calls that are remembered, until they have a result. */
const OPEN_CALLS = 1_000;
/** More calls than that without a result are not of one answer of a model. */
const PARALLEL_CALLS = 32;
/** Updates that say nothing of the work. */
const SILENT = new Set(["user_message_chunk", "available_commands_update", "config_option_update"]);

/** Prints an agent's session updates (ACP) as Claude Code would. What comes in is not trusted, nor checked before. */
export interface AcpEvents {
  update(update: JsonObject): void;
  /** Prints the call that a question is about, so that it stands before the question. @returns it, with all that is known. */
  asking(call: JsonObject): { tool: string; input: JsonObject; title: string };
  /** Prints the text that was held back. Before anything that is no update. */
  flushText(): void;
  /** Prints all that was held back. At the end of a turn. */
  flush(): void;
  /** The last text of the agent's. */
  lastText(): string;
  /** Of the conversation so far, US dollars. */
  cost(): number | undefined;
}

interface Call {
  details: JsonObject;
  printed: boolean;
}

/**
 * @param onRound called when a round of tool calls is over: those that run at the same time, or within another, are one. It is over
 * when each of them has a result, and also when the agent says something of its own after them: then its model has been asked
 * again, and an agent that reports no results, or goes on beside a call, would never come to the end of a round.
 */
export function createAcpEvents(
  { print }: Pick<Output, "print">,
  onRound: () => void = () => undefined,
): AcpEvents {
  let held: { kind: "text" | "thinking"; message: unknown; text: string } | undefined;
  let lastText = "";
  let cost: number | undefined;
  const calls = new Map<string, Call>();
  /** Calls of the running round that have no result. */
  const round = new Set<string>();
  /** The last message that the agent said something in, if it names its messages. */
  let lastMessage: unknown;
  /** Calls that have a result: some agents say more of them afterwards, which is no call of its own. */
  const ended = new Set<string>();

  const endRound = () => {
    round.clear();
    onRound();
  };

  const flushText = () => {
    const kind = held?.kind;
    // Not each chunk: two of them may share a character.
    const text = cleanText(held?.text ?? "");
    held = undefined;
    if (!kind || !text.trim()) return;
    if (kind === "text") lastText = text;
    print(assistant(kind === "text" ? { type: "text", text } : { type: "thinking", thinking: text }));
  };

  const chunk = (kind: "text" | "thinking", update: JsonObject) => {
    const message = update["messageId"] ?? undefined;
    const said = contentText(asObject(update["content"]));
    // What is left of the message that the calls are of is no answer to them.
    const goesOn = message !== undefined && message === lastMessage;
    if (said.trim()) {
      if (round.size > 0 && !goesOn) endRound();
      lastMessage = message;
    }
    if (held && (held.kind !== kind || held.message !== message || held.text.length >= PIECE)) flushText();
    held ??= { kind, message, text: "" };
    held.text += said;
  };

  const printCall = (id: string, call: Call) => {
    if (call.printed) return;
    call.printed = true;
    const { tool, input } = toolOf(call.details);
    print(assistant({ type: "tool_use", id, name: tool, input }, beside(call.details)));
  };

  /** @returns undefined if it has no id. */
  const callOf = (update: JsonObject): [id: string, call: Call] | undefined => {
    const id = textOf(update["toolCallId"]).slice(0, 200);
    if (!id || (update["sessionUpdate"] === "tool_call_update" && ended.has(id))) return undefined;
    // An agent may use an id again.
    if (!round.has(id) && (!calls.has(id) || update["sessionUpdate"] === "tool_call")) {
      if (round.size >= PARALLEL_CALLS) endRound();
      round.add(id);
    }
    const call = calls.get(id) ?? { details: {}, printed: false };
    call.details = merged(call.details, update);
    calls.set(id, call);
    const [oldest = ""] = calls.keys();
    if (calls.size > OPEN_CALLS) calls.delete(oldest);
    return [id, call];
  };

  const toolCall = (update: JsonObject) => {
    const [id, call] = callOf(update) ?? [];
    if (id === undefined || !call) return;
    const status = textOf(call.details["status"]);
    const isOver = status === "completed" || status === "failed";
    // Many agents say first that there is a call, and only then which.
    if (isOver || isComplete(call.details)) printCall(id, call);
    if (!isOver) return;
    calls.delete(id);
    ended.add(id);
    if (ended.size > OPEN_CALLS) ended.delete(ended.keys().next().value ?? "");
    const result = { type: "tool_result", tool_use_id: id, content: resultOf(call.details) };
    const is_error = status === "failed";
    print({ type: "user", message: { role: "user", content: [{ ...result, is_error }] } });
    if (round.delete(id) && round.size === 0) endRound();
  };

  const other = (kind: string, update: JsonObject) => {
    if (kind === "usage_update") {
      const spent = asObject(update["cost"]);
      if (spent?.["currency"] === "USD" && typeof spent["amount"] === "number") cost = spent["amount"];
      return;
    }
    const acp = boundedValue(update, DETAIL_LIMIT);
    if (kind === "plan") print({ type: "system", subtype: "plan", entries: asObject(acp)?.["entries"] });
    else print({ type: "system", subtype: kind.slice(0, 100), acp });
  };

  return {
    update(update) {
      const kind = textOf(update["sessionUpdate"]);
      if (kind === "agent_message_chunk") return chunk("text", update);
      if (kind === "agent_thought_chunk") return chunk("thinking", update);
      if (kind === "" || SILENT.has(kind)) return;
      flushText();
      if (kind === "tool_call" || kind === "tool_call_update") toolCall(update);
      else other(kind, update);
    },
    asking(details) {
      flushText();
      const [id, call] = callOf(details) ?? [];
      if (id !== undefined && call) printCall(id, call);
      return toolOf(call?.details ?? details);
    },
    flushText,
    flush() {
      flushText();
      for (const [id, call] of calls) printCall(id, call);
      calls.clear();
      round.clear();
    },
    lastText: () => lastText,
    cost: () => cost,
  };
}

/** Whether it is known what the call is to do. */
function isComplete(details: JsonObject): boolean {
  const input = asObject(details["rawInput"]) ?? {};
  return details["kind"] === "execute" ? "command" in input : Object.keys(input).length > 0;
}
