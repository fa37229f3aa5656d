import { rmSync, statfsSync } from "node:fs";
import { rename, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "../observability/logger.ts";
import { MIB } from "../shared/units.ts";

/** Enough for PostgreSQL to recover and to write on for a while. */
const RESERVE_BYTES = 64 * MIB;
/** With less free space than this, the embedded database may not start. */
const NEEDED_BYTES = 48 * MIB;
/** A reserve is made only where there is plenty beside it. */
const PLENTY_BYTES = 8 * RESERVE_BYTES;
const EVERY_MS = 60_000;
const FALLOCATE_TIMEOUT_MS = 30_000;

const fileOf = (dataDir: string) => join(dataDir, "reserve");

/**
 * Before an embedded database is opened: on a full disk it could not start again, and nobody could delete a session. The
 * space that was kept for this is given back.
 */
export function freeReserve({ dataDir, logger }: { dataDir: string; logger: Logger }): void {
  try {
    const { bavail, bsize } = statfsSync(dataDir);
    if (bavail * bsize >= NEEDED_BYTES) return;
    const file = Bun.file(fileOf(dataDir));
    if (file.size === 0) return;
    rmSync(fileOf(dataDir), { force: true });
    logger.warn(
      "the disk is full: the reserve was given up so that the database can start; free some space",
      {
        data_dir: dataDir,
      },
    );
  } catch {
    // There is no DATA_DIR yet.
  }
}

/**
 * Keeps a reserve in DATA_DIR: makes it when there is plenty of space, now and after it was given up. Failure is
 * harmless: the next try is in a minute.
 */
export function keepReserve({ dataDir, path }: { dataDir: string; path: string }): {
  /** Settles when the first try has ended. */
  tried: Promise<void>;
  stop(): void;
} {
  const file = fileOf(dataDir);
  const make = async () => {
    const kept = await stat(file).catch(() => undefined);
    if (kept && kept.size >= RESERVE_BYTES) return;
    const { bavail, bsize } = await statfs(dataDir);
    const program = Bun.which("fallocate", { PATH: path });
    if (!program || bavail * bsize < PLENTY_BYTES) return;
    // Appears complete or not at all.
    const draft = `${file}.draft`;
    await rm(draft, { force: true });
    const child = Bun.spawn([program, "-l", `${RESERVE_BYTES}`, draft], {
      stdio: ["ignore", "ignore", "ignore"],
      env: { PATH: path },
      timeout: FALLOCATE_TIMEOUT_MS,
    });
    if ((await child.exited) === 0) await rename(draft, file);
    else await rm(draft, { force: true });
  };
  const attempt = () => make().catch(() => undefined);
  const timer = setInterval(attempt, EVERY_MS);
  timer.unref();
  return { tried: attempt(), stop: () => clearInterval(timer) };
}
