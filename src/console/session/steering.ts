import { useQuery } from "@tanstack/react-query";
import { useCallback, useMemo } from "react";
import type { PromptDto } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import { say } from "../ui/notify.ts";
import { useStored } from "../ui/stored.ts";
import type { SaidRow } from "./rows/row.ts";

/** What was said to an agent that works, from this browser. */
interface Sent {
  id: string;
  promptId: string;
  text: string;
  /** ISO 8601. */
  at: string;
}
export type PendingSteer = Sent & { taken: boolean };

const NOTHING: readonly Sent[] = [];
/** Of one session. */
const MOST_KEPT = 50;

/**
 * Saying something to the agent that works, if it takes messages; and what of it the agent has not taken yet. What it has not
 * taken at its end is the next prompt, and no longer pending.
 */
export function useSteering(
  sessionId: string,
  { prompts, said }: { prompts: readonly PromptDto[]; said: ReadonlyMap<string, readonly SaidRow[]> },
) {
  const [sent, setSent] = useStored(`prompt-backend:steers:${sessionId}`, NOTHING);
  const running = prompts.find(({ status, kind }) => status === "Running" && kind === "agent");
  const { data } = useQuery({
    queryKey: ["agents"],
    queryFn: ({ signal }) => client.agents.list({ signal }),
    enabled: running !== undefined,
  });
  const agent = data?.agents.find((one) =>
    running?.agent == null ? one.default : one.name === running.agent,
  );
  const runningId = agent?.steering ? running?.id : undefined;

  const send = useCallback(
    async (text: string, key: string) => {
      if (runningId === undefined) return;
      const reply = await client.prompts.steer(runningId, { text }, { idempotencyKey: `${key}-now` });
      const { delivered, prompt_id: promptId, steer_id: id } = reply;
      if (delivered === "queued") {
        void say("The agent takes no more messages: queued as the next prompt");
        return;
      }
      const one = { id, promptId, text, at: new Date().toISOString() };
      setSent((before) => [...before.filter((other) => other.id !== id), one].slice(-MOST_KEPT));
      void say("Sent to the agent: it takes it with its next step");
    },
    [runningId, setSent],
  );
  const pending = useMemo(
    () =>
      sent.map((one): PendingSteer => {
        const rows = said.get(one.promptId) ?? [];
        return { ...one, taken: rows.some((row) => row.kind === "steer" && row.steerId === one.id) };
      }),
    [sent, said],
  );
  return { pending, steer: runningId === undefined ? undefined : send };
}
