import { type ModelScript, messagesText } from "./scripted-model.ts";
import type { ModelTurn, OfferedTool } from "./scripted-turns.ts";

/** What a script of turns can see of any of the APIs. */
export interface TurnRequest {
  tools: readonly Pick<OfferedTool, "name">[];
  /** The conversation as JSON text. */
  conversation: string;
}

const ERRORS: Readonly<Record<number, string>> = { 429: "rate_limit_error", 529: "overloaded_error" };

/** A script of turns for the scripted Messages API. Its agents call their shell `Bash` or `bash`. */
export function asMessages(
  script: (request: TurnRequest, call: number) => ModelTurn | Promise<ModelTurn>,
): ModelScript {
  return async (request, call) => {
    const tools = request.body.tools ?? [];
    const turn = await script({ tools, conversation: messagesText(request) }, call);
    if ("stall" in turn) return turn;
    if ("error" in turn)
      return {
        error: { type: ERRORS[turn.error.status] ?? "authentication_error", ...turn.error },
      };
    const shell = tools.find(({ name }) => /^bash$/i.test(name))?.name ?? "no shell tool";
    return turn.map((part) => {
      if ("text" in part) return { type: "text", text: part.text };
      if ("shell" in part)
        return { type: "tool_use", name: shell, input: { command: part.shell, description: "Scripted." } };
      throw new Error("these tests call no other tools");
    });
  };
}
