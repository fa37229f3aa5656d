import type { ClaimedRun } from "../lifecycle/start-run.ts";
import { type AgentRun, gatewayOptions, type PrepareDeps, resumableIn } from "./agent-run.ts";
import { AttemptsExhausted, MAX_STALLS } from "./failures.ts";
import { awaitIsolation } from "./requirements.ts";
import { reopenRunGateway } from "./run-gateway.ts";
import { afterAdoption, STALLED } from "./stalled-adoptions.ts";
import type { RunWriter } from "./writer.ts";

/**
 * Takes over an agent that an earlier runner started, whether it runs or has ended.
 * @throws AttemptsExhausted if its output seems to kill whoever reads it; LeaseLost.
 */
export async function adoptAgent(
  deps: PrepareDeps,
  run: ClaimedRun,
  writer: RunWriter,
  found: Pick<AgentRun, "sandbox" | "process" | "record">,
  signal: AbortSignal,
): Promise<AgentRun> {
  const { agent, logger } = deps;
  const { sandbox, process } = found;
  const record = await afterAdoption(found, run.outputOffset);
  if ((record.stalls ?? 0) >= MAX_STALLS) {
    await process.stop(0);
    process.detach();
    // Its work is still delivered, if possible.
    await awaitIsolation(deps, writer, signal);
    throw new AttemptsExhausted(STALLED);
  }
  logger.info("agent adopted", { state: process.state, stored: run.outputOffset, stalls: record.stalls });
  deps.metrics.takeover("adopted");
  try {
    // Before anything of its output is read.
    await writer.markAdopted(record);
    const gateway =
      process.state === "running"
        ? await reopenRunGateway(gatewayOptions(deps, run, writer, sandbox))
        : undefined;
    const resumable = resumableIn(agent, sandbox, run);
    return { ...found, record, stored: run.outputOffset, adopted: true, resumable, gateway };
  } catch (error) {
    process.detach();
    throw error;
  }
}
