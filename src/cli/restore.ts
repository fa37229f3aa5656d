import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { noteAct } from "../audit/noted-acts.ts";
import { unpackBackup } from "../backup/unpack.ts";
import type { Config } from "../config/config.ts";
import { lockDataDir } from "../db/data-dir-lock.ts";
import { migrations } from "../db/migrations.ts";
import { OperatorError } from "../shared/errors.ts";
import { USE_PG_DUMP } from "./backup.ts";
import { progressLine, size } from "./progress.ts";

/** Entries that an empty DATA_DIR may have: the lock, the file system's own folder, and the rest of a killed restore. */
const IGNORED = /^(lock.*|lost\+found|restoring)$/;

/**
 * `prompt-backend restore FILE`: restores a backup into an empty DATA_DIR, completely or not at all.
 * @throws OperatorError when DATA_DIR is not empty or in use, or FILE is not a valid backup.
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
  if (!existsSync(file)) throw new OperatorError(`The file ${file} does not exist.`);
  const unlock = lockDataDir(dataDir);
  const folder = join(dataDir, "restoring");
  try {
    const there = (await readdir(dataDir)).find((name) => !IGNORED.test(name));
    if (there !== undefined)
      throw new OperatorError(
        `DATA_DIR ${dataDir} is not empty (it contains ${there}), and a restore replaces nothing: move that folder away, or set another DATA_DIR.`,
      );
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { mode: 0o700 });
    const progress = progressLine(stderr);
    const { head, files, bytes } = await unpackBackup({
      file,
      folder,
      migration: migrations.at(-1)?.when ?? 0,
      onProgress: (unpacked) => progress.show(`Unpacking: ${unpacked.files} files, ${size(unpacked.bytes)}`),
    });
    progress.end();
    noteAct(folder, {
      action: "data.restore",
      target: `file:${file}`,
      detail: { made_at: head.made_at, version: head.version },
    });
    // The database is moved last: a DATA_DIR without it holds no usable data.
    const names = (await readdir(folder)).toSorted(
      (a, b) => Number(a === "postgres") - Number(b === "postgres"),
    );
    for (const name of names) await rename(join(folder, name), join(dataDir, name));
    stderr.write(
      `Restored ${files} files (${size(bytes)}) to ${dataDir}, backed up at ${head.made_at} by version ${head.version}. Start the service; it migrates the database.\n`,
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
    unlock();
  }
}
