import type { AgentCatalog } from "../agents/catalog.ts";
import type { Logger } from "../observability/logger.ts";
import { openQueue } from "../queue/backend.ts";
import { modelSources } from "../runs/model-sources.ts";
import type { SandboxProvider } from "../sandboxes/sandbox.ts";
import { openSpend } from "../spend/spend.ts";
import { openAgentReports } from "../tasks/agent-reports.ts";
import { startHeartbeat } from "../tasks/heartbeat.ts";
import { TASKS } from "../tasks/index.ts";
import type { TaskContext } from "../tasks/task.ts";
import type { Parts, ServiceOptions } from "./open-parts.ts";
import type { ReleaseStack } from "./release-stack.ts";

/** How long a task may take to stop, beyond the time that its runs are given, milliseconds. */
const HANDOVER_MS = 15_000;
/** A task counts as silent only after several missed heartbeats. Embedded, no other process waits for them. */
const HEARTBEAT_MS = { postgres: 5_000, embedded: 10_000 };

/**
 * Starts the tasks in their order, and the heartbeat that shows them to the others.
 * @throws OperatorError when the queue cannot be reached.
 */
export async function startTasks(
  { config, logger, version, tasks, handover, signal }: ServiceOptions,
  { database, metrics, agents, sandboxes: opened, forges }: Parts,
  stack: ReleaseStack,
): Promise<void> {
  const sandboxes = await opened();
  if (tasks.includes("prompt-runner")) await tellIsolation(sandboxes, agents, logger);
  const redisUrl = config.redisUrl?.reveal();
  const queue = await openQueue({ redisUrl, database, metrics, logger, signal });
  stack.add("queue", () => queue.close());
  const process = crypto.randomUUID();
  const spend = openSpend({ config, database, metrics, logger });
  stack.add("spend", () => spend.ledger.close());
  const context: TaskContext = {
    config,
    process,
    database,
    queue,
    sandboxes,
    forges,
    agents,
    model: modelSources(config),
    spend,
    handover,
    version,
    metrics,
    logger,
  };
  const runsPrompts = tasks.includes("prompt-runner");
  const reports = runsPrompts
    ? openAgentReports({ ...{ orm: database.orm, process, host: sandboxes.host }, agents, metrics, logger })
    : undefined;
  if (reports) {
    stack.add("agent reports", async () => reports.close());
    // Before prompts are claimed, so that they may name agents from the first one on.
    await reports.write();
  }
  for (const name of tasks) {
    signal.throwIfAborted();
    const task = await TASKS[name](context);
    stack.add(`task ${name}`, () => task.stop(), config.shutdownTimeoutMs + HANDOVER_MS);
  }
  const heartbeat = startHeartbeat({
    ...{ orm: database.orm, process, host: sandboxes.host, tasks, logger },
    ...(reports && { afterBeat: reports.afterBeat }),
    intervalMs: HEARTBEAT_MS[database.kind],
  });
  stack.add("heartbeat", () => heartbeat.stop());
}

/** How agents are isolated here, where something lacks. */
async function tellIsolation(
  { isolation }: SandboxProvider,
  agents: AgentCatalog,
  logger: Logger,
): Promise<void> {
  const { isolated, detail, missing } = isolation;
  const refusal = agents.get(agents.defaultName)?.builtIn ? undefined : await isolation.refusal();
  if (refusal) logger.warn(`PROMPTS WAIT: ${refusal}`);
  else if (!isolated) logger.warn(`AGENTS RUN WITHOUT ISOLATION: ${detail}`);
  else if (missing.length > 0) logger.warn(`AGENTS RUN WITHOUT FULL ISOLATION: ${detail}`);
}
