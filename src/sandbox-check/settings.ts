import { join } from "node:path";
import type { Config } from "../config/config.ts";
import { MIB } from "../shared/units.ts";

/**
 * Limits of the check: far below an operator's, so that what exceeds them is small, and far above what a program that
 * only asks needs.
 */
export const CHECK_LIMITS = {
  memoryBytes: 512 * MIB,
  maxProcesses: 128,
  diskBytes: 64 * MIB,
  /** What the disk quota makes of that: one file per 16 KiB. */
  files: (64 * MIB) / (16 * 1024),
  outputBytes: 24 * MIB,
  agentMemoryBytes: 16 * MIB,
};

/** Folders of a check, below its own. */
export const foldersOf = (folder: string) => ({
  dataDir: join(folder, "data"),
  origins: join(folder, "origins"),
});

/** The service's configuration, with a DATA_DIR of the check's own and limits that are cheap to exceed. */
export function checkConfig(config: Config, folder: string): Config {
  const { memoryBytes, maxProcesses, diskBytes, outputBytes, agentMemoryBytes } = CHECK_LIMITS;
  const { dataDir, origins } = foldersOf(folder);
  return {
    ...config,
    dataDir,
    sandboxProvider: "local",
    localRepositories: [origins],
    auth: { ...config.auth, mode: "local" } as Config["auth"],
    runLimits: { ...config.runLimits, maxOutputBytes: outputBytes },
    agentMemoryBytes,
    runResources: { ...config.runResources, memoryBytes, maxProcesses, diskBytes },
  };
}
