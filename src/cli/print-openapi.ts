import { readConfig } from "../config/config.ts";
import type { Database } from "../db/client.ts";
import type { Hub } from "../live/hub.ts";
import { createLogger } from "../observability/logger.ts";
import type { Metrics } from "../observability/metrics.ts";
import { createApp } from "../server/app.ts";
import { openApiText } from "../server/docs.ts";

/** The same bytes as /openapi.json, whatever the environment says, without a database. */
export function printedOpenApi(version: string): Promise<string> {
  const app = createApp({
    // No route is called, so nothing asks for it.
    database: {} as Pick<Database, "orm">,
    hub: {} as Hub,
    metrics: {} as Metrics,
    config: readConfig({}),
    verifier: { verify: () => Promise.reject(new Error("nobody is let in while printing")) },
    health: () => ({
      version,
      agent: "",
      isolation: { isolated: false, detail: "" },
      database: "",
      queue: "",
    }),
    logger: createLogger({ level: "silent" }),
    version,
  });
  return openApiText(app);
}
