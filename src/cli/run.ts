import type { ServiceOptions } from "../app/open-parts.ts";
import { startService } from "../app/start.ts";
import type { Logger } from "../observability/logger.ts";
import { welcomeText } from "./welcome.ts";

/**
 * Runs the server and the tasks until SIGTERM or SIGINT, which shuts down gracefully, also during start-up. A second
 * signal exits at once with code 1; the next process takes the running prompts over.
 * @returns the exit code: 0, or 1 when it had to end because nothing can be stored any more.
 * @throws OperatorError when the service cannot start.
 */
export async function runService(
  options: Omit<ServiceOptions, "signal" | "onFatal"> & {
    /** Show a newcomer what to try first. */
    welcome: boolean;
    print: (line: string) => void;
  },
): Promise<number> {
  const { config, logger, server, tasks, welcome, print } = options;
  const { signal, requested, shutDown } = shutdownSignal(logger);
  let exitCode = 0;
  const onFatal = (error: Error) => {
    exitCode = 1;
    logger.error("the disk refuses the database's files; shutting down", { error: error.message });
    shutDown(error);
  };
  try {
    const service = await startService({ ...options, signal, onFatal });
    if (service.url) print(`prompt-backend listens on ${service.url}`);
    if (welcome && service.url) print(await welcomeText({ config, url: service.url }));
    if (!server) print(`prompt-backend runs ${tasks.join(", ")}`);
    await requested;
    await service.stop();
  } catch (error) {
    if (error !== signal.reason) throw error;
    logger.info("shut down during start-up");
  }
  return exitCode;
}

/** Aborts at the first SIGTERM or SIGINT, or when `shutDown` is called. */
function shutdownSignal(logger: Logger): {
  signal: AbortSignal;
  requested: Promise<void>;
  shutDown(reason: Error): void;
} {
  const shutdown = new AbortController();
  const requested = Promise.withResolvers<void>();
  const shutDown = (reason: Error) => {
    shutdown.abort(reason);
    requested.resolve();
  };
  const onSignal = (name: NodeJS.Signals) => {
    if (shutdown.signal.aborted) {
      logger.warn("second signal: exiting at once", { signal: name });
      process.exit(1);
    }
    logger.info("shutting down; a second signal exits at once", { signal: name });
    shutDown(new Error(`stopped by ${name}`));
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  return { signal: shutdown.signal, requested: requested.promise, shutDown };
}
