import type { ServiceOptions } from "../app/open-parts.ts";
import { startService } from "../app/start.ts";
import type { Logger } from "../observability/logger.ts";
import { welcomeText } from "./welcome.ts";

/**
 * Runs the server and the tasks until SIGTERM or SIGINT, which shuts down gracefully, also during start-up. A second
 * signal exits at once with code 1; the next process takes the running prompts over.
 * @returns the exit code, 0.
 * @throws OperatorError when the service cannot start.
 */
export async function runService(
  options: Omit<ServiceOptions, "signal"> & {
    /** Show a newcomer what to try first. */
    welcome: boolean;
    print: (line: string) => void;
  },
): Promise<number> {
  const { config, logger, server, tasks, welcome, print } = options;
  const { signal, requested } = shutdownSignal(logger);
  try {
    const service = await startService({ ...options, signal });
    if (service.url) print(`prompt-backend listens on ${service.url}`);
    if (welcome && service.url) print(await welcomeText({ config, url: service.url }));
    if (!server) print(`prompt-backend runs ${tasks.join(", ")}`);
    await requested;
    await service.stop();
  } catch (error) {
    if (error !== signal.reason) throw error;
    logger.info("shut down during start-up");
  }
  return 0;
}

/** Aborts at the first SIGTERM or SIGINT. */
function shutdownSignal(logger: Logger): { signal: AbortSignal; requested: Promise<void> } {
  const shutdown = new AbortController();
  const requested = Promise.withResolvers<void>();
  const onSignal = (name: NodeJS.Signals) => {
    if (shutdown.signal.aborted) {
      logger.warn("second signal: exiting at once", { signal: name });
      process.exit(1);
    }
    logger.info("shutting down; a second signal exits at once", { signal: name });
    shutdown.abort(new Error(`stopped by ${name}`));
    requested.resolve();
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  return { signal: shutdown.signal, requested: requested.promise };
}
