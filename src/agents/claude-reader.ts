import { asObject, type JsonObject } from "../shared/json.ts";
import type { AgentEvent, AgentIdentity, AgentReader } from "./agent.ts";
import { createUuids, identityIn, isRenderable, parseObject, storable } from "./events.ts";
import { failureOf, failureOfExit, isModelFailure, quoted, summaryOf, usageOf } from "./verdict.ts";

/** A reader for which no line is plain text. */
interface EventReader extends AgentReader {
  read(line: string): AgentEvent | undefined;
}

/**
 * Reads Claude Code's stream-json. Lines that are not JSON objects with a type are dropped; events of types that the web
 * UI does not know are stored as `system` events, which it skips. A run has succeeded only with a result line without
 * error AND exit code 0: `subtype: "success"` is printed for API errors, too.
 * @param remote whether it needs the MCP servers of a sandbox: without them it has no tools, answers all the same, and its
 *   success would mean nothing.
 */
export function createClaudeReader(remote = false): EventReader {
  const withUuid = createUuids();
  let result: JsonObject | undefined;
  let lastText = "";
  /** It has printed something else than a result. */
  let began = false;
  /** The model has answered. */
  let worked = false;
  let missing: string | undefined;
  let identity: AgentIdentity = {};

  return {
    read(line) {
      const parsed = parseObject(line);
      if (typeof parsed?.["type"] !== "string") return undefined;
      const known: AgentEvent = isRenderable(parsed)
        ? parsed
        : { ...parsed, type: "system", subtype: parsed["type"] };
      if (known.type === "result") result = known;
      else began = true;
      if (remote && known.type === "system" && known["subtype"] === "init") missing ??= missingServers(known);
      identity = { ...identity, ...identityIn(known) };
      if (known.type === "assistant") {
        lastText = textIn(known) || lastText;
        worked ||= asObject(known["message"])?.["model"] !== "<synthetic>";
      }
      return withUuid(storable(known, line.length));
    },
    hasResult: () => result !== undefined,
    identity: () => identity,
    toolsMissing: () => missing,
    verdict(exit) {
      const usage = usageOf(result);
      const failure = result ? failureOf(result) : undefined;
      const reason = failure ?? failureOfExit(exit) ?? missingResult();
      if (reason === undefined) return { ok: true, summary: summaryOf(finalText()), usage };
      const summary = summaryOf(failure ? lastText : finalText());
      return {
        ...{ ok: false, reason, summary, usage, worked },
        ...(lostConversation() && { lostConversation: true }),
        ...(result && isModelFailure(result) && { modelFailed: true }),
      };

      // So ends a resume when it cannot read the transcript (2.1.330).
      function lostConversation(): boolean {
        return result?.["subtype"] === "error_during_execution" && result["num_turns"] === 0 && !began;
      }

      function missingResult(): string | undefined {
        if (result) return undefined;
        return `The agent ended without a result${quoted(exit)}.`;
      }
    },
  };

  function finalText(): string {
    return typeof result?.["result"] === "string" ? result["result"] : lastText;
  }
}

/** What the names of a project's MCP servers begin with, beside those of a borrowed sandbox: the agent can work without them. */
export const OF_PROJECT = "project-";

/** Pending: Claude Code still connects. Anything else than that and connected is an end: it does not try again (2.1.330). */
function missingServers(init: AgentEvent): string | undefined {
  const servers: unknown[] = Array.isArray(init["mcp_servers"]) ? init["mcp_servers"] : [];
  const states = servers
    .map(asObject)
    .filter((one) => !String(one?.["name"]).startsWith(OF_PROJECT))
    .map((one) => String(one?.["status"]));
  if (states.length > 0 && states.every((one) => one === "connected" || one === "pending")) return undefined;
  return "The agent could not connect to the tools of its sandbox.";
}

/** The text of an assistant event; "" if it is the CLI's own text (it reports API errors so) or a subagent's. */
export function textIn(event: AgentEvent): string {
  const message = asObject(event["message"]);
  if (!message || message["model"] === "<synthetic>" || event["parent_tool_use_id"]) return "";
  const { content } = message;
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  const texts = content.map((one) => asObject(one)).filter((one) => one?.["type"] === "text");
  return texts.map((one) => (typeof one?.["text"] === "string" ? one["text"] : "")).join("\n\n");
}
