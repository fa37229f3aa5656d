import { stripVTControlCharacters } from "node:util";
import { asObject, type JsonObject } from "../shared/json.ts";
import type { AgentExit, AgentUsage } from "./agent.ts";
import { cleanText, cut } from "./events.ts";

/** Longest summary, UTF-8 bytes. */
const SUMMARY_BYTES = 64 * 1024;
const REASON_LIMIT = 1000;
/** What an agent says of itself beyond that is nobody's usage; it would be in the metrics for ever. */
const MOST_REPORTED = 1e12;

/** Terminal reasons that mean failure, whatever else the result says; sentences for the user. */
const STOPPED: Readonly<Record<string, string>> = {
  max_turns: "The agent reached its limit of turns before it was done.",
  budget_exhausted: "The agent reached its budget before it was done.",
  prompt_too_long: "The conversation has become too long for the model. Start a new session.",
  blocking_limit: "The conversation has become too long for the model. Start a new session.",
  rapid_refill_breaker: "The conversation has become too long for the model. Start a new session.",
  aborted_streaming: "The agent was interrupted.",
  aborted_tools: "The agent was interrupted.",
  tool_deferred: "The agent stopped to ask a question, which nobody can answer here.",
};

/** Terminal reasons by subtype, for results of older versions, which have no terminal reason. */
const SUBTYPES: Readonly<Record<string, string>> = {
  error_max_turns: "max_turns",
  error_max_budget_usd: "budget_exhausted",
};

/** Why this result line means failure, as a sentence for the user; undefined if it does not. */
export function failureOf(result: JsonObject): string | undefined {
  const subtype = textOf(result["subtype"]);
  const why = textOf(result["terminal_reason"]) || (SUBTYPES[subtype] ?? "");
  const stopped = Object.hasOwn(STOPPED, why) ? STOPPED[why] : undefined;
  const failed = result["is_error"] !== false || subtype.startsWith("error") || stopped !== undefined;
  if (!failed) return undefined;
  const message = messageIn(result);
  const status = result["api_error_status"];
  if (why === "api_error" || typeof status === "number") {
    const answered = typeof status === "number" ? ` with status ${status}` : "";
    return `The model's API answered${answered || " with an error"}${message ? `: ${message}` : "."}`;
  }
  if (stopped) return stopped;
  const label = [why, subtype].find((one) => one !== "" && one !== "completed" && one !== "success");
  return `The agent reported an error${label ? ` (${label})` : ""}${message ? `: ${message}` : "."}`;
}

/** Whether this result line, of a failure, says that a request to the model's API failed. */
export const isModelFailure = (result: JsonObject): boolean =>
  result["terminal_reason"] === "api_error" || typeof result["api_error_status"] === "number";

/** Why a process that ended like this has failed, as a sentence for the user; undefined for exit code 0. */
export function failureOfExit(exit: AgentExit): string | undefined {
  if (exit.code === 0 && !exit.signal) return undefined;
  if (exit.signal === "SIGKILL" || exit.code === 137)
    return `The agent was killed${quoted(exit)}, possibly because the machine ran out of memory.`;
  if (exit.signal) return `The agent was ended by the signal ${exit.signal}${quoted(exit)}.`;
  if (exit.code === 143) return `The agent was ended by the signal SIGTERM${quoted(exit)}.`;
  return `The agent ended with exit code ${exit.code}${quoted(exit)}.`;
}

/** The end of stderr, in parentheses, for the end of a sentence; "" if it is empty. */
export function quoted(exit: AgentExit): string {
  const text = plain(exit.stderr).trim();
  if (!text) return "";
  return ` (it printed: ${text.length > REASON_LIMIT ? `…${text.slice(-REASON_LIMIT).toWellFormed()}` : text})`;
}

/** A terminal program's output without escape codes and without what PostgreSQL rejects. */
export function plain(text: string): string {
  return cleanText(stripVTControlCharacters(text));
}

/**
 * Cuts a text for the conversation, to at most 64 KiB of UTF-8.
 * @param keep which end of a longer text to keep.
 */
export function summaryOf(text: string, keep: "start" | "end" = "start"): string {
  const clean = cleanText(text).trim();
  const bytes = Buffer.from(clean);
  if (bytes.length <= SUMMARY_BYTES) return clean;
  // An incomplete character at the cut decodes as U+FFFD and is dropped.
  const size = SUMMARY_BYTES - 8;
  if (keep === "end")
    return `…${bytes
      .subarray(-size)
      .toString("utf8")
      .replace(/^\uFFFD+/, "")}`;
  return `${bytes
    .subarray(0, size)
    .toString("utf8")
    .replace(/\uFFFD+$/, "")}…`;
}

/** The usage that a result line reports. Input tokens include those read from or written to the API's cache. */
export function usageOf(result: JsonObject | undefined): AgentUsage {
  const usage = asObject(result?.["usage"]) ?? {};
  const input = ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"]
    .map((name) => numberOf(usage[name]))
    .filter((one) => one !== undefined);
  const found = {
    turns: numberOf(result?.["num_turns"]),
    input_tokens: input.length > 0 ? input.reduce((sum, one) => sum + one, 0) : undefined,
    output_tokens: numberOf(usage["output_tokens"]),
    cost_usd: numberOf(result?.["total_cost_usd"]),
  };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined));
}

function messageIn(result: JsonObject): string {
  const errors: unknown[] = Array.isArray(result["errors"]) ? result["errors"] : [];
  const texts = [result["result"], ...errors].map(textOf).filter(Boolean);
  return cut(plain(texts.join("; ")).trim(), REASON_LIMIT);
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function numberOf(value: unknown): number | undefined {
  return typeof value === "number" && value >= 0 && value <= MOST_REPORTED ? value : undefined;
}
