import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { unpackBackup } from "../backup/unpack.ts";
import type { Config } from "../config/config.ts";
import { lockDataDir } from "../db/data-dir-lock.ts";
import { migrations } from "../db/migrations.ts";
import { OperatorError } from "../shared/errors.ts";
import { USE_PG_DUMP } from "./backup.ts";
import { progressLine, size } from "./progress.ts";

/** What may be in an empty DATA_DIR: our lock, what a file system has of itself, and a restore that was killed. */
const OF_NO_ACCOUNT = /^(lock.*|lost\+found|restoring)$/;

/**
 * `prompt-backend restore FILE`: puts a backup into an empty DATA_DIR, whole or not at all.
 * @throws OperatorError when DATA_DIR is not empty or in use, or the backup is none.
 */
export async function runRestore(options: {
  config: Config;
  file: string;
  stderr?: { write(text: string): unknown; isTTY?: boolean };
}): Promise<void> {
  const { config, stderr = process.stderr } = options;
  const { dataDir } = config;
  const file = resolve(options.file);
  if (config.databaseUrl !== undefined) throw new OperatorError(USE_PG_DUMP);
  if (!existsSync(file)) throw new OperatorError(`There is no file ${file}.`);
  const unlock = lockDataDir(dataDir);
  const folder = join(dataDir, "restoring");
  try {
    const there = (await readdir(dataDir)).find((name) => !OF_NO_ACCOUNT.test(name));
    if (there !== undefined)
      throw new OperatorError(
        `DATA_DIR ${dataDir} is not empty (it has ${there}), and a restore replaces nothing: move that folder away, or set another DATA_DIR.`,
      );
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { mode: 0o700 });
    const progress = progressLine(stderr);
    const { head, files, bytes } = await unpackBackup({
      file,
      folder,
      migration: migrations.at(-1)?.when ?? 0,
      onProgress: (so) => progress.show(`Unpacking: ${so.files} files, ${size(so.bytes)}`),
    });
    progress.end();
    // The database last: without it the folder counts as empty of data.
    const names = (await readdir(folder)).toSorted(
      (a, b) => Number(a === "postgres") - Number(b === "postgres"),
    );
    for (const name of names) await rename(join(folder, name), join(dataDir, name));
    stderr.write(
      `Restored ${files} files, ${size(bytes)}, backed up at ${head.made_at} by version ${head.version}, to ${dataDir}. Start the service; it brings the database up to date.\n`,
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
    unlock();
  }
}
