import { join } from "node:path";
import type { Config } from "../config/config.ts";
import { CHECK_LIMITS } from "./limit-attacks.ts";

/** Folders of a check, below its own. */
export const foldersOf = (folder: string) => ({
  dataDir: join(folder, "data"),
  origins: join(folder, "origins"),
});

/** The service's configuration, with a DATA_DIR of the check's own and limits that are cheap to exceed. */
export function checkConfig(config: Config, folder: string): Config {
  const { memoryBytes, maxProcesses, diskBytes, outputBytes } = CHECK_LIMITS;
  const { dataDir, origins } = foldersOf(folder);
  return {
    ...config,
    dataDir,
    sandboxProvider: "local",
    localRepositories: [origins],
    auth: { ...config.auth, mode: "local" } as Config["auth"],
    runLimits: { ...config.runLimits, maxOutputBytes: outputBytes },
    runResources: { ...config.runResources, memoryBytes, maxProcesses, diskBytes },
  };
}
