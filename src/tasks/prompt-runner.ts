import { QUEUES } from "../queue/names.ts";
import { openLeaseKeeper } from "../runs/leases.ts";
import { runPrompt } from "../runs/run-prompt.ts";
import type { Task } from "./task.ts";

/** Runs prompts, `WORKER_CONCURRENCY` at a time. Stopping waits for them, then hands the rest over. */
export const promptRunner: Task = async ({
  config,
  database,
  queue,
  sandboxes,
  agent,
  modelProxy,
  logger,
}) => {
  const { orm } = database;
  const shutdown = new AbortController();
  const leases = openLeaseKeeper({ orm, logger });
  const deps = { orm, leases, sandboxes, agent, modelProxy, runTimeoutMs: config.runTimeoutMs, logger };
  const worker = queue.work({
    queue: QUEUES.promptRun,
    concurrency: config.workerConcurrency,
    handle: ({ prompt_id }) => runPrompt(deps, prompt_id, shutdown.signal),
  });
  return {
    async stop() {
      const timer = setTimeout(() => shutdown.abort(new Error("shutting down")), config.shutdownTimeoutMs);
      await worker.stop();
      clearTimeout(timer);
      await leases.close();
    },
  };
};
