import type { Agent } from "../agents/agent.ts";
import type { ModelProxy } from "../agents/model-proxy.ts";
import type { Config } from "../config.ts";
import type { Database } from "../db/client.ts";
import type { Logger } from "../observability/logger.ts";
import type { QueueBackend } from "../queue/backend.ts";
import type { SandboxProvider } from "../sandboxes/sandbox.ts";
import type { RunningTask } from "./loop.ts";

/** What the composition root hands to every task. */
export interface TaskContext {
  config: Config;
  database: Database;
  queue: QueueBackend;
  sandboxes: SandboxProvider;
  agent: Agent;
  modelProxy: ModelProxy | undefined;
  logger: Logger;
}

export type Task = (context: TaskContext) => Promise<RunningTask>;
