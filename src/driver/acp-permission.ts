import type {
  PermissionOption,
  RequestPermissionRequest,
  RequestPermissionResponse,
} from "@agentclientprotocol/sdk";
import type { JsonObject } from "../shared/json.ts";
import type { AcpEvents } from "./acp-events.ts";
import type { Questions } from "./questions.ts";

/** Asks, or allows at once. @param parts.denied called with the tool, and the reason, if there is one. */
export async function permission(
  { toolCall, options }: RequestPermissionRequest,
  parts: {
    ask: boolean;
    events: AcpEvents;
    questions: Questions;
    signal: AbortSignal;
    denied: (tool: string, reason: string | null) => void;
  },
): Promise<RequestPermissionResponse> {
  const { ask, events, questions, signal, denied } = parts;
  const question = events.asking(toolCall as JsonObject);
  const select = (...kinds: PermissionOption["kind"][]): RequestPermissionResponse => {
    const option = kinds.flatMap((kind) => options.filter((one) => one.kind === kind))[0];
    return {
      outcome: option ? { outcome: "selected", optionId: option.optionId } : { outcome: "cancelled" },
    };
  };
  if (!ask) return select("allow_once", "allow_always");
  return new Promise((resolve) => {
    // Also at the end of a turn: the agent may wait for it before it begins the next one.
    const over = () => resolve({ outcome: { outcome: "cancelled" } });
    const cancel = questions.ask(
      question,
      ({ decision, reason }) => {
        if (decision === "deny") denied(question.tool, reason);
        resolve(
          decision === "deny" ? select("reject_once", "reject_always") : select("allow_once", "allow_always"),
        );
      },
      over,
    );
    signal.addEventListener("abort", () => {
      cancel();
      over();
    });
  });
}
