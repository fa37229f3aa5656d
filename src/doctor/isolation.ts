import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { chooseAgent } from "../agents/choose.ts";
import type { Config } from "../config/config.ts";
import { createLogger } from "../observability/logger.ts";
import { openDiskQuotas } from "../sandboxes/disk/quotas.ts";
import { type MissingPart, probeIsolation } from "../sandboxes/isolation/probe.ts";
import { type Finding, type Found, fail, ok, warn } from "./finding.ts";

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
    const { builtIn } = chooseAgent({ config }).agent;
    const effect = config.allowUnisolated
      ? "agents run all the same (ALLOW_UNISOLATED_AGENTS=1), and can read and change whatever this user can"
      : builtIn
        ? "prompts of any agent but the built-in demo would wait"
        : "prompts wait";
    const bad = config.allowUnisolated || builtIn ? warn : fail;
    const whys = missing.map(({ why }) => why).join("; ");
    const remedies = missing.map(({ remedy }) => remedy).join("; ");
    const whole = missing.length > 0 ? bad(`${effect}: ${whys}`, remedies) : ok(`${detail} works`);
    if (!isolation) {
      const untried = Object.keys(LINES).filter((check) => check !== "bubblewrap");
      return [
        { check: "isolation", ...whole },
        ...untried.map((check) => ({
          check,
          ...warn("not tried: bubblewrap does not work", "see the line isolation"),
        })),
      ];
    }
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

/** What agents may reach besides the model. */
export function egressFound({ egress: { mode, allow } }: Pick<Config, "egress">): Found {
  const rules = `EGRESS_ALLOW has ${allow?.length ?? 0} rules`;
  if (mode === "deny") return ok("EGRESS=deny: agents reach the model and nothing else");
  if (mode === "list") return ok(`EGRESS=list: agents reach the model and what is listed; ${rules}`);
  return warn(
    `EGRESS=open: agents reach every public address; ${rules}`,
    "whoever writes a prompt can carry out what the agent reads: set EGRESS=list and EGRESS_ALLOW",
  );
}
