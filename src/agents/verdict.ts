import { stripVTControlCharacters } from "node:util";
import type { AgentExit, AgentUsage } from "./agent.ts";
import { asObject, cleanText, cut, type JsonObject } from "./events.ts";

/** Longest summary, UTF-8 bytes. */
const SUMMARY_BYTES = 64 * 1024;
const REASON_LIMIT = 1000;

/** Reasons for which a run has not done its work, whatever else its result says. */
const STOPPED: Readonly<Record<string, string>> = {
  max_turns: "The agent was stopped at its limit of turns before it was done.",
  budget_exhausted: "The agent was stopped at its budget before it was done.",
  prompt_too_long: "The conversation has become too long for the model. Start a new session.",
  blocking_limit: "The conversation has become too long for the model. Start a new session.",
  rapid_refill_breaker: "The conversation has become too long for the model. Start a new session.",
  aborted_streaming: "The agent was interrupted.",
  aborted_tools: "The agent was interrupted.",
  tool_deferred: "The agent stopped to wait for an answer that nobody can give here.",
};

/** Subtypes of a result without a terminal reason (older versions). */
const SUBTYPES: Readonly<Record<string, string>> = {
  error_max_turns: "max_turns",
  error_max_budget_usd: "budget_exhausted",
};

/** Why this result line means failure, as a sentence for the user; undefined: it does not. */
export function failureOf(result: JsonObject): string | undefined {
  const subtype = textOf(result["subtype"]);
  const why = textOf(result["terminal_reason"]) || (SUBTYPES[subtype] ?? "");
  const stopped = Object.hasOwn(STOPPED, why) ? STOPPED[why] : undefined;
  const failed = result["is_error"] !== false || subtype.startsWith("error") || stopped !== undefined;
  if (!failed) return undefined;
  const said = saidBy(result);
  const status = result["api_error_status"];
  if (why === "api_error" || typeof status === "number") {
    const answered = typeof status === "number" ? ` with status ${status}` : "";
    return `The model's API answered${answered || " with an error"}${said ? `: ${said}` : "."}`;
  }
  if (stopped) return stopped;
  const label = [why, subtype].find((one) => one !== "" && one !== "completed" && one !== "success");
  return `The agent reported an error${label ? ` (${label})` : ""}${said ? `: ${said}` : "."}`;
}

/** Why a process that ended so has failed; undefined: exit code 0. */
export function failureOfExit(exit: AgentExit): string | undefined {
  if (exit.code === 0 && !exit.signal) return undefined;
  if (exit.signal === "SIGKILL" || exit.code === 137)
    return `The agent was killed${quoted(exit)}; when nobody did that, the machine ran out of memory.`;
  if (exit.signal) return `The agent was ended by the signal ${exit.signal}${quoted(exit)}.`;
  if (exit.code === 143) return `The agent was ended by the signal SIGTERM${quoted(exit)}.`;
  return `The agent ended with exit code ${exit.code}${quoted(exit)}.`;
}

/** The end of stderr as the tail of a sentence, or nothing. */
export function quoted(exit: AgentExit): string {
  const text = plain(exit.stderr).trim();
  if (!text) return "";
  return ` (it printed: ${text.length > REASON_LIMIT ? `…${text.slice(-REASON_LIMIT).toWellFormed()}` : text})`;
}

/** Text of a terminal program: no colours, nothing that storage refuses. */
export function plain(text: string): string {
  return cleanText(stripVTControlCharacters(text));
}

/**
 * For the conversation: at most 64 KiB of UTF-8.
 * @param keep which end of a longer text stays.
 */
export function summaryOf(text: string, keep: "start" | "end" = "start"): string {
  const clean = cleanText(text).trim();
  const bytes = Buffer.from(clean);
  if (bytes.length <= SUMMARY_BYTES) return clean;
  // A character that the cut falls into decodes as U+FFFD, which is dropped.
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

/** What a result line says of the run's cost. Input tokens include those that the API's cache served or took. */
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

function saidBy(result: JsonObject): string {
  const errors: unknown[] = Array.isArray(result["errors"]) ? result["errors"] : [];
  const texts = [result["result"], ...errors].map(textOf).filter(Boolean);
  return cut(plain(texts.join("; ")).trim(), REASON_LIMIT);
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function numberOf(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : undefined;
}
