import { type Agent, AgentUnavailable } from "../agents/agent.ts";
import type { AgentCatalog } from "../agents/catalog.ts";
import type { ClaimedRun } from "../lifecycle/start-run.ts";
import { NotIsolated, type SandboxProvider } from "../sandboxes/sandbox.ts";
import type { PrepareDeps } from "./agent-run.ts";
import { AttemptsExhausted, Deferred, MAX_ATTEMPTS, MAX_CLAIMS } from "./failures.ts";
import { untilIsolated } from "./until-isolated.ts";
import type { RunWriter } from "./writer.ts";

const DISK_DELAY_MS = 15_000;
/** The wait is ended when a worker has the agent. */
const AGENT_DELAY_MS = 7 * 86_400_000;

/** The agent of a run. If this machine does not know it, which `requireAgent` tells, the default. */
export function agentOf(agents: AgentCatalog, { agent }: Pick<ClaimedRun, "agent">): Agent {
  const found = (agent === null ? undefined : agents.get(agent)) ?? agents.get(agents.defaultName);
  if (!found) throw new Error("the catalog of agents lacks its default");
  return found;
}

/**
 * Leaves a run to a machine that has its agent: it was taken over from one that had it, or the agent has gone meanwhile. An
 * agent that has been started here is adopted, as long as its output can be read.
 * @throws Deferred; AgentUnavailable if the agent lacks the prompt's mode or cannot be held to its limit of turns: it never
 *   does more than those allow.
 */
export async function requireAgent(
  { agents, sandboxes }: { agents: AgentCatalog; sandboxes: SandboxProvider },
  { agent: name, mode, maxTurns, process, sbxConfig }: ClaimedRun,
): Promise<void> {
  const isHere = process?.host === sandboxes.host;
  // The default starts and fails, if it is missing, unless another machine had it.
  const may =
    name === null ||
    isHere ||
    (process === null && name === agents.defaultName) ||
    agents.available().includes(name);
  if (!may || (name !== null && !agents.get(name))) {
    if (isHere && sbxConfig) await sandboxes.release(sbxConfig);
    throw new Deferred(
      `Waiting: the agent ${name} is not available on the machine that was to start it. It starts as soon as a worker has it.`,
      "agent",
      AGENT_DELAY_MS,
    );
  }
  const agent = agentOf(agents, { agent: name });
  if (!agent.modes.includes(mode))
    throw new AgentUnavailable(
      `${agent.name} does not have the mode ${mode}. It has: ${agent.modes.join(", ")}. Send the prompt again with one of them, or with another agent.`,
    );
  if (maxTurns !== null && !agent.limitsTurns)
    throw new AgentUnavailable(
      `${agent.name} cannot be held to a number of turns. Send the prompt again without max_turns, or with another agent.`,
    );
}

/**
 * Before anything is made for a run that the sandbox would refuse to start. The built-in demo may run without.
 * @throws NotIsolated
 */
export async function requireIsolation({ sandboxes, agent }: PrepareDeps): Promise<void> {
  const refusal = agent.builtIn ? undefined : await sandboxes.isolation.refusal();
  if (refusal !== undefined) throw new NotIsolated(refusal);
}

/** Waits for the same, where work would be lost if the run were postponed. @throws what `life` aborted with. */
export const awaitIsolation = (deps: PrepareDeps, writer: RunWriter, life: AbortSignal) =>
  untilIsolated(() => requireIsolation(deps), { writer, logger: deps.logger, life });

/** @throws Deferred while there is too little room for another checkout. */
export async function requireDisk({ sandboxes, limits }: PrepareDeps): Promise<void> {
  if (limits.maxCheckoutBytes > 0 && (await sandboxes.usedBytes()) > limits.maxCheckoutBytes)
    throw new Deferred(
      "Waiting: the checkouts of other runs use all the disk space they may (CHECKOUT_DISK_MB).",
      "disk",
      DISK_DELAY_MS,
    );
  if ((await sandboxes.freeBytes()) < limits.minFreeBytes)
    throw new Deferred(
      "Waiting: the disk of the machine that runs the prompts is nearly full (MIN_FREE_DISK_MB).",
      "disk",
      DISK_DELAY_MS,
    );
}

/** Whether the prompt has no attempt left. */
export const isExhausted = ({ attempt, claims }: ClaimedRun) => attempt > MAX_ATTEMPTS || claims > MAX_CLAIMS;

/** @throws AttemptsExhausted */
export function requireAttempts(run: ClaimedRun): void {
  if (isExhausted(run)) throw new AttemptsExhausted(exhaustedMessage(run));
}

function exhaustedMessage({ attempt, claims, failures }: ClaimedRun): string {
  const last = failures.at(-1)?.error;
  if (attempt > MAX_ATTEMPTS)
    return `This prompt failed after ${MAX_ATTEMPTS} attempts: ${last ?? "its runner died each time"}`;
  const deaths = `This prompt was given up because its runner died ${claims - 1 - failures.length} times, of which the service's log tells more.`;
  return last === undefined ? deaths : `${deaths} Its last failure: ${last}`;
}
