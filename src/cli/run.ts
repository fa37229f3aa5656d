import { startService } from "../app/start.ts";
import type { Config } from "../config/config.ts";
import type { Logger } from "../observability/logger.ts";
import type { TaskName } from "../tasks/names.ts";
import { welcomeText } from "./welcome.ts";

/**
 * Runs the server and the tasks until a signal ends them. SIGTERM or SIGINT: in order, exit code 0. A second one:
 * at once, exit code 1; what was running is taken up by the next process.
 */
export async function runService(options: {
  config: Config;
  logger: Logger;
  version: string;
  server: boolean;
  tasks: readonly TaskName[];
  handover: "leave" | "stop";
  /** Greet a newcomer with a line to paste. */
  welcome: boolean;
  print: (line: string) => void;
}): Promise<number> {
  const { config, logger, server, tasks, welcome, print } = options;
  const ended = Promise.withResolvers<void>();
  let signals = 0;
  const onSignal = (signal: NodeJS.Signals) => {
    signals += 1;
    if (signals > 1) {
      logger.warn("second signal: ending at once", { signal });
      process.exit(1);
    }
    logger.info("ending; a second signal ends it at once", { signal });
    ended.resolve();
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);

  const service = await startService(options);
  if (service.url) print(`prompt-backend listens on ${service.url}`);
  if (server && welcome && service.url) print(await welcomeText({ config, url: service.url }));
  if (!server) print(`prompt-backend runs ${tasks.join(", ")}`);
  await ended.promise;
  await service.stop();
  return 0;
}
