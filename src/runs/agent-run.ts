import type { Agent } from "../agents/agent.ts";
import type { Config, RunLimits } from "../config/config.ts";
import type { Orm } from "../db/client.ts";
import type { AgentProcess } from "../db/json-columns.ts";
import type { ClaimedRun } from "../lifecycle/start-run.ts";
import type { MemoryKeeper } from "../memory/memory.ts";
import type { Logger } from "../observability/logger.ts";
import type { Metrics } from "../observability/metrics.ts";
import type { RunProject } from "../projects/run-project.ts";
import type { Sandbox, SandboxProcess, SandboxProvider } from "../sandboxes/sandbox.ts";
import type { Spend } from "../spend/spend.ts";
import type { ModelSources, RunModel } from "./model-sources.ts";
import type { RunGateway } from "./run-gateway.ts";
import type { RunWriter } from "./writer.ts";

/** What every way to an agent needs: adopting, resuming and starting one. */
export interface PrepareDeps {
  orm: Orm;
  sandboxes: SandboxProvider;
  /** Works on this prompt. */
  agent: Agent;
  memory: MemoryKeeper;
  model: ModelSources;
  spend: Spend;
  /** What agents may reach besides the model. */
  egress: Config["egress"];
  /** Of the run that these are for. Undefined: its repository has none. */
  project?: RunProject | undefined;
  limits: RunLimits;
  /** See openUnpushedStore. */
  maxUnpushedBytes: number;
  metrics: Metrics;
  logger: Logger;
}

/** An agent in its sandbox, running or just ended. */
export interface AgentRun {
  sandbox: Sandbox;
  process: SandboxProcess;
  /** The record of the process in the database. */
  record: AgentProcess;
  /** Bytes of its output that are stored. */
  stored: number;
  /** Whether an earlier runner started it. */
  adopted: boolean;
  /** Whether the agent could be resumed after an interruption. */
  resumable: () => Promise<boolean>;
  /** Undefined: it has ended, or the gateway of its earlier runner could not be opened again. */
  gateway: RunGateway | undefined;
}

/** Whether the agent has a transcript in this sandbox that it could continue. */
export const resumableIn = (agent: Agent, sandbox: Sandbox, run: ClaimedRun) => () =>
  agent.hasTranscript(sandbox.hostPaths.state, run.conversationId);

/** The model that the agent needs. Undefined: it needs none, or its key is not set. */
export function modelOf({ agent: { modelApi: api }, model }: PrepareDeps): RunModel | undefined {
  const source = api && model[api];
  return source && { api, ...source };
}

/** Of the gateway of this run, whether it is opened for the first time or again. */
export const gatewayOptions = (deps: PrepareDeps, run: ClaimedRun, writer: RunWriter, sandbox: Sandbox) => ({
  ...{ sandbox, writer, runId: run.promptId, isolation: deps.sandboxes.isolation },
  ...{ egress: deps.egress, project: deps.project, metrics: deps.metrics, logger: deps.logger },
  model: meteredModel(deps, run),
});

/** What the run may cost: what its user has raised it to; otherwise what was asked for, project and deployment allow now. */
function budgetOf({ project, spend }: PrepareDeps, { budget, suspended }: ClaimedRun): number | undefined {
  if (budget !== null && suspended) return budget;
  const limits = [budget, project?.budget, spend.rules.limits.run].filter((one) => typeof one === "number");
  return limits.length > 0 ? Math.min(...limits) : undefined;
}

function meteredModel(deps: PrepareDeps, run: ClaimedRun) {
  const model = modelOf(deps);
  if (!model) return undefined;
  const { promptId, epoch, sessionId, userId, repo } = run;
  const account = { promptId, epoch, sessionId, userId, repo, agent: deps.agent.name };
  return { ...model, meter: deps.spend.meter({ api: model.api, account, budget: budgetOf(deps, run) }) };
}
