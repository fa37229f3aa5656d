import { existsSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";

/** In memory, if there is enough. */
export function fastFolder(): string {
  const memory = "/dev/shm";
  const { bavail, bsize } = existsSync(memory) ? statfsSync(memory) : { bavail: 0, bsize: 0 };
  return bavail * bsize > 2 * 1024 ** 3 ? memory : tmpdir();
}

/**
 * Where embedded databases are that have nothing to do with a DATA_DIR: each is hundreds of files, which a disk takes longer
 * to create and to remove than most tests run. `npm test` removes the folder.
 */
export const databaseFolder = (): string => process.env["TEST_DATABASE_FOLDER"] || tmpdir();
