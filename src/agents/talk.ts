import { asObject } from "../shared/json.ts";

/**
 * What an agent that can be talked to prints beside its events: what it asks its user, and what it has taken of what its
 * user said. The word of a program in a sandbox: it is bounded here, and changes nothing but questions and messages of its
 * own prompt.
 */
export type Talk =
  | { kind: "question"; requestId: string; tool: string; input: unknown; title: string | null }
  | { kind: "answered"; requestId: string }
  | { kind: "steered"; steerId: string };

/** Questions that an agent may ask in a run. Its driver denies more; of what does without a driver, more are left out. */
export const MOST_QUESTIONS = 1_000;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const TOOL_LIMIT = 200;
const TITLE_LIMIT = 1_000;
/** Of a question's input, UTF-16 units of its JSON. */
const INPUT_LIMIT = 64 * 1024;

/** @returns undefined: it is an event as any other. */
export function talkIn(printed: unknown): Talk | undefined {
  const event = asObject(printed) ?? {};
  const { type, subtype, request_id: requestId, steer_id: steerId } = event;
  if (type === "user" && isUuid(steerId)) return { kind: "steered", steerId };
  if (type !== "system" || !isUuid(requestId)) return undefined;
  if (subtype === "permission_answered") return { kind: "answered", requestId };
  if (subtype !== "permission_request") return undefined;
  const { tool, input, title } = event;
  return {
    kind: "question",
    requestId,
    tool: typeof tool === "string" && tool !== "" ? cutTo(tool, TOOL_LIMIT) : "unknown",
    input: bounded(asObject(input) ?? {}),
    title: typeof title === "string" && title !== "" ? cutTo(title, TITLE_LIMIT) : null,
  };
}

/** A question without a usable id could neither be answered nor closed. */
export function isBrokenQuestion(printed: unknown): boolean {
  const { type, subtype, request_id } = asObject(printed) ?? {};
  return type === "system" && subtype === "permission_request" && !isUuid(request_id);
}

const isUuid = (value: unknown): value is string => typeof value === "string" && UUID.test(value);
const cutTo = (text: string, limit: number) => text.slice(0, limit).toWellFormed();

function bounded(input: unknown): unknown {
  const text = JSON.stringify(input);
  return text.length <= INPUT_LIMIT ? input : { cut: cutTo(text, INPUT_LIMIT) };
}
