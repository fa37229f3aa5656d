import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useMemo } from "react";
import type { PromptDto, SteerDto } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import { say } from "../ui/notify.ts";
import type { SaidRow } from "./rows/row.ts";

const NOTHING: readonly SteerDto[] = [];

/**
 * Saying something to the agent that works, if it takes messages; and what of it the agent has not taken yet, whoever said it and
 * wherever. What it has not taken at its end is the next prompt, and no longer pending.
 */
export function useSteering({
  prompts,
  said,
}: {
  prompts: readonly PromptDto[];
  said: ReadonlyMap<string, readonly SaidRow[]>;
}) {
  const queries = useQueryClient();
  // Also while it waits for its next attempt.
  const begun = prompts.find(
    ({ kind, started_at: start, finished_at: end }) => kind === "agent" && start !== null && end === null,
  );
  const running = begun?.status === "Running" ? begun : undefined;
  const { data } = useQuery({
    queryKey: ["agents"],
    queryFn: ({ signal }) => client.agents.list({ signal }),
    enabled: running !== undefined,
  });
  const agent = data?.agents.find((one) =>
    running?.agent == null ? one.default : one.name === running.agent,
  );
  const runningId = agent?.steering ? running?.id : undefined;
  const begunId = begun?.id ?? "";
  const { data: steers = NOTHING } = useQuery({
    queryKey: ["steers", begunId],
    queryFn: ({ signal }) =>
      client.prompts.steers(begunId, { status: "pending" }, { signal }).then(({ data: page }) => page),
    enabled: begun !== undefined,
  });

  const send = useCallback(
    async (text: string, key: string) => {
      if (runningId === undefined) return;
      const { delivered } = await client.prompts.steer(runningId, { text }, { idempotencyKey: `${key}-now` });
      if (delivered === "queued") {
        void say("The agent takes no more messages: queued as the next prompt");
        return;
      }
      void say("Sent to the agent: it takes it with its next step");
      await queries.invalidateQueries({ queryKey: ["steers", runningId] });
    },
    [runningId, queries],
  );
  const pending = useMemo(() => {
    const taken = new Set(
      (said.get(begunId) ?? []).map((row) => (row.kind === "steer" ? row.steerId : undefined)),
    );
    return steers.filter(({ id }) => !taken.has(id));
  }, [steers, said, begunId]);
  return { pending, steer: runningId === undefined ? undefined : send };
}
