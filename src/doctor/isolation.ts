import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Config } from "../config/config.ts";
import { createLogger } from "../observability/logger.ts";
import { openDiskQuotas } from "../sandboxes/disk/quotas.ts";
import { type MissingPart, probeIsolation } from "../sandboxes/isolation/probe.ts";
import { type Finding, type Found, ok, warn } from "./finding.ts";

/** The lines of the isolation, with the parts that each needs and what is said when none is missing. */
const LINES: Readonly<Record<string, { parts: readonly MissingPart["part"][]; works: string }>> = {
  bubblewrap: {
    parts: ["bubblewrap"],
    works: "own PID, mount, IPC and UTS namespaces, read-only system",
  },
  users: { parts: ["user namespaces", "uid"], works: "agents are no user of this machine's" },
  network: {
    parts: ["network namespace", "socat"],
    works: "own network namespace, and a forwarder to the gateway",
  },
  seccomp: { parts: ["seccomp"], works: "a seccomp filter" },
};

/** One line for the whole, and one for each part. Probes in a temporary folder: the service may be using DATA_DIR. */
export async function isolationFindings(config: Config): Promise<Finding[]> {
  const folder = await mkdtemp(join(tmpdir(), "prompt-backend-doctor-"));
  try {
    const { path, agentUids: uids } = config;
    const { isolation, missing, detail } = await probeIsolation({ path, dataDir: folder, uids });
    const effect = config.allowUnisolated
      ? "agents run all the same (ALLOW_UNISOLATED_AGENTS=1), and can read and change whatever this user can"
      : "prompts wait";
    const whys = missing.map(({ why }) => why).join("; ");
    const remedies = missing.map(({ remedy }) => remedy).join("; ");
    const whole = missing.length > 0 ? warn(`${effect}: ${whys}`, remedies) : ok(`${detail} works`);
    // Without bubblewrap nothing else could be tried.
    if (!isolation) return [{ check: "isolation", ...whole }];
    const lines = Object.entries(LINES).map(([check, { parts, works }]) => {
      const lacking = missing.find(({ part }) => parts.includes(part));
      return { check, ...(lacking ? warn(lacking.why, lacking.remedy) : ok(works)) };
    });
    return [{ check: "isolation", ...whole }, ...lines];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** How the disk space of a sandbox is limited. Tried on the file system of DATA_DIR, in a folder that is removed again. */
export async function quotaFound({ dataDir, path, runResources }: Config): Promise<Found> {
  let parent = dataDir;
  while (!existsSync(parent) && dirname(parent) !== parent) parent = dirname(parent);
  const folder = await mkdtemp(join(parent, ".prompt-backend-doctor-"));
  try {
    // What it makes beside its root folder is removed, too.
    const root = join(folder, "sandboxes");
    await mkdir(root);
    const logger = createLogger({ level: "silent" });
    const quotas = await openDiskQuotas({ root, path, limit: runResources.diskBytes, logger });
    if (quotas.enforced) return ok(quotas.detail);
    return warn(
      quotas.detail,
      "mount the file system of DATA_DIR with project quotas (prjquota), or start the service as root",
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
