import type { AgentCatalog } from "../agents/catalog.ts";
import type { Config } from "../config/config.ts";
import type { Database } from "../db/client.ts";
import type { Forges } from "../forges/open-forges.ts";
import type { Logger } from "../observability/logger.ts";
import type { Metrics } from "../observability/metrics.ts";
import type { QueueBackend } from "../queue/backend.ts";
import type { ModelSources } from "../runs/model-sources.ts";
import type { SandboxProvider } from "../sandboxes/sandbox.ts";
import type { Spend } from "../spend/spend.ts";
import type { RunningTask } from "./loop.ts";

/** What the composition root gives every task. */
export interface TaskContext {
  config: Config;
  /** The id of this process, in its heartbeats and leases; new at each start. */
  process: string;
  database: Database;
  queue: QueueBackend;
  sandboxes: SandboxProvider;
  forges: Forges;
  agents: AgentCatalog;
  model: ModelSources;
  spend: Spend;
  /** Of this program. */
  version: string;
  /** On shutdown, leave running agents to the next process on this machine, or stop them. */
  handover: "leave" | "stop";
  metrics: Metrics;
  logger: Logger;
}

export type Task = (context: TaskContext) => Promise<RunningTask>;
