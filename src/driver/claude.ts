import { parseObject } from "../agents/events.ts";
import { asObject, type JsonObject, textOf } from "../shared/json.ts";
import { linesOf } from "./lines.ts";
import type { Answer, Steer } from "./mailbox.ts";
import { type Protocol, type ProtocolParts, taken, withoutCommand } from "./protocol.ts";

/** What is between this process and the agent. */
const INTERNAL = /^(control_\w+|keep_alive|command_lifecycle)$/;
const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;

/**
 * Claude Code with `--input-format stream-json` (2.1.330). A message that is sent during a turn is folded into it with the
 * next tool result; one that comes too late begins a turn of its own after the result. `--replay-user-messages` says when
 * it is taken. There can so be several results: all but the last are printed as system events, since a result ends a run.
 */
export function createClaudeProtocol(parts: ProtocolParts): Protocol {
  const { spec, child, output, questions, checkMailbox } = parts;
  /** Handed over, not taken yet, by the uuid that the agent knows. */
  const handedOver = new Map<string, Steer>();
  /** Withdraws the agent's open questions, by its own ids. */
  const asked = new Map<unknown, () => void>();
  const results: JsonObject[] = [];
  let ended = false;

  const send = (text: string, uuid: string, images: readonly JsonObject[] = []) =>
    child.send({
      type: "user",
      uuid,
      message: { role: "user", content: [...images, { type: "text", text }] },
    });

  return {
    steer(steer) {
      if (ended) return;
      const uuid = UUID.test(steer.id) ? steer.id : crypto.randomUUID();
      handedOver.set(uuid, steer);
      // With a blank in front it would still be kept until after the turn, like the CLI's commands.
      send(/^\s*\//.test(steer.text) ? `The user says: ${steer.text}` : steer.text, uuid);
    },
    async run() {
      const images = (spec.images ?? []).map(({ mediaType, data }) => ({
        type: "image",
        source: { type: "base64", media_type: mediaType, data },
      }));
      send(withoutCommand(spec.prompt), crypto.randomUUID(), images);
      for await (const line of linesOf(child.stdout)) {
        if (typeof line === "number") output.print({ type: "system", subtype: "line_left_out", bytes: line });
        else read(line);
        await output.ready();
        await child.ready();
      }
      // It has ended before the turn of a message that it had been given: the last result is the run's.
      const last = results.at(-1);
      if (!ended && last) output.print(total(results.slice(0, -1), last));
      return undefined;
    },
  };

  function read(line: string): void {
    const event = parseObject(line);
    if (!event) return;
    const type = textOf(event["type"]);
    if (type === "control_request") request(event);
    else if (type === "control_cancel_request") asked.get(event["request_id"])?.();
    else if (type === "user" && event["isReplay"] === true) replayed(textOf(event["uuid"]));
    else if (type === "result") result(event, line);
    else if (!INTERNAL.test(type)) output.printLine(line);
  }

  function request(event: JsonObject): void {
    const { request_id: id } = event;
    const details = asObject(event["request"]) ?? {};
    const respond = (response: JsonObject) =>
      child.send({ type: "control_response", response: { ...response, request_id: id } });
    if (details["subtype"] !== "can_use_tool") {
      respond({ subtype: "error", error: `unknown request ${textOf(details["subtype"])}` });
      return;
    }
    const { tool_name: tool, input, description } = details;
    const question = {
      tool: textOf(tool),
      input,
      title: typeof description === "string" ? description : undefined,
    };
    // Before it is asked: it may be answered at once, and would stay here with its input.
    asked.set(id, () => {
      asked.delete(id);
      cancel();
    });
    const cancel = questions.ask(question, (answer) => {
      asked.delete(id);
      respond({ subtype: "success", response: permission(answer, input) });
    });
  }

  function replayed(uuid: string): void {
    const steer = handedOver.get(uuid);
    if (!steer) return;
    handedOver.delete(uuid);
    output.print(taken(steer));
  }

  function result(event: JsonObject, line: string): void {
    if (ended) {
      output.printLine(line);
      return;
    }
    questions.cancelAll();
    asked.clear();
    checkMailbox();
    if (handedOver.size > 0) {
      results.push(event);
      output.print({ ...event, type: "system", subtype: "turn_result" });
      return;
    }
    ended = true;
    child.end();
    if (results.length === 0) output.printLine(line);
    else output.print(total(results, event));
  }
}

function permission({ decision, reason }: Answer, input: unknown): JsonObject {
  return decision === "deny"
    ? { behavior: "deny", message: reason || "The user does not allow this." }
    : { behavior: "allow", updatedInput: input };
}

/** The last result of a run, with the turns and tokens of all. Its cost is that of the conversation already. */
function total(earlier: readonly JsonObject[], last: JsonObject): JsonObject {
  const all = [...earlier, last];
  const sum = (values: unknown[]) =>
    values.reduce((total: number, one) => total + (typeof one === "number" ? one : 0), 0);
  const usages = all.map((one) => asObject(one["usage"]) ?? {});
  const usage = Object.fromEntries(
    Object.entries(asObject(last["usage"]) ?? {}).map(([name, value]) => [
      name,
      typeof value === "number" ? sum(usages.map((one) => one[name])) : value,
    ]),
  );
  const num_turns = sum(all.map((one) => one["num_turns"]));
  const duration_ms = sum(all.map((one) => one["duration_ms"]));
  return { ...last, num_turns, duration_ms, usage };
}
