import { type ClientContext, methods } from "@agentclientprotocol/sdk";

/** How long an agent may take to end a turn that is cancelled, with what it keeps of the conversation. */
const CANCEL_MS = 10_000;

/**
 * The protocol has no limit of turns, and does not show requests to the model. What follows from one can be counted: a round of
 * tool calls, or the end of the agent's turn. After the last round that it may take, the agent's turn is cancelled.
 */
export interface AcpTurns {
  /** No tool call is open any more. */
  round(): void;
  /** Sends a prompt. @returns its stop reason: `max_turn_requests` if it was cancelled here. */
  within(agent: ClientContext, sessionId: string, sent: Promise<{ stopReason: string }>): Promise<string>;
  count(): number;
}

/** @param limit undefined: any number. */
export function createAcpTurns(limit: number | undefined): AcpTurns {
  let count = 0;
  const reached = Promise.withResolvers<"max_turn_requests">();
  let isReached = false;
  return {
    round() {
      count += 1;
      isReached ||= limit !== undefined && count >= limit;
      if (isReached) reached.resolve("max_turn_requests");
    },
    async within(agent, sessionId, sent) {
      const ended = sent.then(
        ({ stopReason }) => (isReached ? "max_turn_requests" : stopReason),
        (error: unknown) => {
          // Some agents reject a prompt that is cancelled.
          if (isReached) return "max_turn_requests";
          throw error;
        },
      );
      const cut = reached.promise.then(async (reason) => {
        await agent.notify(methods.agent.session.cancel, { sessionId }).catch(() => undefined);
        await Bun.sleep(CANCEL_MS);
        return reason;
      });
      const reason = await Promise.race([ended, cut]);
      if (!isReached) count += 1;
      return reason;
    },
    count: () => count,
  };
}
