import { readConfig } from "../config/config.ts";
import { unconnectedOrm } from "../db/postgres.ts";
import { openForges } from "../forges/open-forges.ts";
import { openHub } from "../live/hub.ts";
import { createLogger } from "../observability/logger.ts";
import { createMetrics } from "../observability/metrics.ts";
import { openRepositories } from "../repositories/repositories.ts";
import { openReviews } from "../review/reviews.ts";
import { createApp } from "../server/app.ts";
import { openApiText } from "../server/docs.ts";

/** The API description, byte for byte what /openapi.json serves. It needs no database, and the environment changes nothing. */
export async function printedOpenApi(version: string): Promise<string> {
  const logger = createLogger({ level: "silent" });
  const nobody = () => Promise.reject(new Error("there are no users"));
  const config = readConfig({});
  const forges = openForges([]);
  const app = createApp({
    database: { orm: unconnectedOrm() },
    repositories: openRepositories({
      orm: unconnectedOrm(),
      config,
      forges,
      logger,
      sandboxes: { branchesOf: () => Promise.reject(new Error("there are no repositories")) },
    }),
    reviews: openReviews({
      orm: unconnectedOrm(),
      sandboxes: {
        repositoryFor() {
          throw new Error("there are no repositories");
        },
      },
    }),
    hub: await openHub({ database: { listen: async () => async () => undefined }, logger }),
    metrics: createMetrics({ version, deployment: () => Promise.reject(new Error("there is no database")) }),
    forges,
    config,
    verifier: { verify: nobody, isTrusted: nobody },
    setup: { agent: { name: "demo", reason: null }, embedded: false },
    health: async () => ({
      version,
      agent: "",
      isolation: { isolated: false, detail: "" },
      database: "",
      queue: "",
    }),
    here: () => Promise.reject(new Error("there is no machine")),
    publicKey: () => undefined,
    logger,
    version,
  });
  return openApiText(app);
}
