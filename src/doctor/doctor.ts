import { askForStatus } from "../backup/control.ts";
import type { Config, Forgotten } from "../config/config.ts";
import { openForges } from "../forges/open-forges.ts";
import { createLogger } from "../observability/logger.ts";
import { modelSources } from "../runs/model-sources.ts";
import { messageOf } from "../shared/errors.ts";
import { credentialFound } from "./credential.ts";
import { databaseFindings } from "./database.ts";
import { checked, type Finding, type Found, ok, warn } from "./finding.ts";
import { gitHostFound } from "./git-host.ts";
import { egressFound, isolationFindings, quotaFound } from "./isolation.ts";
import {
  agentFound,
  agentsFound,
  diskFound,
  gitFound,
  lfsFound,
  limitsFound,
  preparedFound,
} from "./machine.ts";
import { modelChecks } from "./models.ts";
import { allocatorFound, identityFound, portFound, queueFound } from "./network.ts";
import { signInFound } from "./sign-in.ts";
import { spendingFindings } from "./spending.ts";

/**
 * Checks everything that a start with this configuration needs, all at the same time. Changes nothing that lasts: what it tries out
 * is in temporary folders, for the disk quota below DATA_DIR and with a file system mounted for a moment.
 */
export async function examine(config: Config, forgotten: Forgotten): Promise<Finding[]> {
  const logger = createLogger({ level: "silent" });
  const { ipAllocatorUrl: allocatorUrl, auth, publicUrl } = config;
  const signIn = auth.mode === "oidc" &&
    auth.client && { issuer: auth.issuer, client: auth.client, publicUrl };
  const running = config.databaseUrl === undefined ? await askForStatus(config.dataDir) : undefined;
  const found = await Promise.all([
    databaseFindings({ config, running, logger }),
    one(
      "queue",
      () => queueFound(config, logger),
      "check REDIS_URL and that Redis is running; unset it to keep the queue in the database",
    ),
    one("identity", () => identityFound(config), "check KEYCLOAK_ISSUER and DATA_DIR"),
    signIn ? one("sign-in", () => signInFound(signIn), "check OIDC_CLIENT_ID") : [],
    config.sandboxProvider === "allocator" && allocatorUrl !== undefined
      ? one("allocator", () => allocatorFound(allocatorUrl), "check IP_ALLOCATOR_URL")
      : [],
    one("git", () => gitFound(config), "install git"),
    one("git-lfs", () => lfsFound(config), "install git-lfs"),
    ...config.forges.map(async (host) => {
      const found = await gitHostFound(host, config);
      return found ? [{ check: "git host", ...found }] : [];
    }),
    ...openForges(config.forges)
      .all.filter(({ host }) => host.credential !== undefined)
      .map((forge) => one("git credential", () => credentialFound(forge), "check FORGES")),
    one("agent", () => agentFound(config), "check AGENT"),
    ...modelChecks(modelSources(config)).map(({ check, find, fix }) => one(check, find, fix)),
    one("agents", () => agentsFound(config), "check AGENT"),
    spendingFindings(config),
    isolationFindings(config).catch((error: unknown) => [
      { check: "isolation", ...warn(messageOf(error), "install bubblewrap") },
    ]),
    { check: "egress", ...egressFound(config) },
    one("disk quota", () => quotaFound(config), "check DATA_DIR and RUN_DISK_MB"),
    one("limits", () => limitsFound(config), "check RUN_MEMORY_MB"),
    one("prepared checkouts", () => preparedFound(config), "check PREPARED_MAX_MB"),
    one("disk", () => diskFound(config), "check DATA_DIR"),
    one("port", () => portFound(config, running), "set another PORT or HOST"),
  ]);
  return [
    { check: "configuration", ...ok("no mistakes") },
    { check: "secrets", ...secretsFound(forgotten) },
    ...found.flat(),
  ];
}

/** The service does the same when it starts. */
function secretsFound({ names, overwritten }: Forgotten): Found {
  if (overwritten === undefined) return ok("none is given by the environment");
  if (overwritten) return ok(`${names.join(", ")}: removed from the environment after they were read`);
  return warn(
    `${names.join(", ")}: this system shows them in the process's environment`,
    "give them by files instead: NAME_FILE=/path, or systemd credentials",
  );
}

const one = async (...[check, work, fix]: [string, Parameters<typeof checked>[1], string]) => [
  await checked(check, work, { fix }),
];
