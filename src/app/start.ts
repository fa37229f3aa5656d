import { openParts, type ServiceOptions } from "./open-parts.ts";
import { createReleaseStack } from "./release-stack.ts";
import { startServer } from "./start-server.ts";
import { startTasks } from "./start-tasks.ts";

export interface Service {
  /** Where the server listens; undefined without one. */
  url: string | undefined;
  /** Closes everything in reverse order, each part within a deadline. */
  stop(): Promise<void>;
}

/**
 * The composition root: opens what this process needs, in order, and closes it in reverse, also when opening fails halfway.
 * @throws OperatorError when a part cannot be opened (database, queue, port); what `signal` aborted with.
 */
export async function startService(options: ServiceOptions): Promise<Service> {
  const stack = createReleaseStack(options.logger);
  try {
    const parts = await openParts(options, stack);
    const { hub, status } = parts;
    if (hub) status.url = await startServer(options, { ...parts, hub }, stack);
    if (options.tasks.length > 0) await startTasks(options, parts, stack);
    options.signal.throwIfAborted();
    return { url: status.url ?? undefined, stop: () => stack.release() };
  } catch (error) {
    await stack.release();
    throw error;
  }
}
