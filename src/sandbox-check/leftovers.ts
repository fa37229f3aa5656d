import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../config/config.ts";
import { lockDataDir } from "../db/data-dir-lock.ts";
import type { Logger } from "../observability/logger.ts";
import { openCgroups } from "../sandboxes/process/cgroup.ts";
import { openSandboxes } from "../sandboxes/providers.ts";
import { messageOf } from "../shared/errors.ts";
import { etcCanaryOf } from "./canaries.ts";
import { checkConfig } from "./settings.ts";

/** Marks a check's folder as in use, for as long as this process lives. */
export function claimFolder(folder: string): { remove(): Promise<void> } {
  const unlock = lockDataDir(folder);
  return {
    async remove() {
      await rm(etcCanaryOf(folder), { force: true });
      // While it is still ours.
      await rm(folder, { recursive: true, force: true });
      unlock();
    },
  };
}

/** Removes what checks left behind that were killed: programs, mounts, users of sandboxes, files in /etc, folders. */
export async function removeLeftovers(options: { config: Config; logger: Logger }): Promise<void> {
  const { config, logger } = options;
  const names = (await readdir(config.dataDir)).filter((name) => /^check-\w{6}$/.test(name));
  for (const folder of names.map((name) => join(config.dataDir, name))) {
    let claim: ReturnType<typeof claimFolder>;
    try {
      claim = claimFolder(folder);
    } catch {
      // Another check, which is running.
      continue;
    }
    try {
      const cgroups = (host: string) => openCgroups({ host });
      const provider = await openSandboxes({ config: checkConfig(config, folder), logger, cgroups });
      await provider.sweep(async () => new Set());
      await claim.remove().catch(async () => {
        // What the killed check had just started may have ended only now, such as a mount.
        await provider.sweep(async () => new Set());
        await claim.remove();
      });
    } catch (error) {
      logger.warn("what an earlier sandbox-check left behind could not be removed", {
        folder,
        error: messageOf(error),
      });
    }
  }
}
