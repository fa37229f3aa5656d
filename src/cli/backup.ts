import { existsSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { dirname, join, resolve, sep } from "node:path";
import { noteAct } from "../audit/noted-acts.ts";
import { askForSnapshot, takeSnapshot } from "../backup/control.ts";
import { FORMAT } from "../backup/format.ts";
import { type Packed, packBackup } from "../backup/pack.ts";
import type { Config } from "../config/config.ts";
import { openDatabase } from "../db/client.ts";
import { migrations } from "../db/migrations.ts";
import type { Logger } from "../observability/logger.ts";
import { OperatorError } from "../shared/errors.ts";
import { progressLine, size } from "./progress.ts";

export const USE_PG_DUMP =
  'The database of DATABASE_URL is backed up with PostgreSQL\'s own tools: pg_dump --format=custom "$DATABASE_URL" > FILE, and pg_restore; see docs/OPERATIONS.md.';

/**
 * `prompt-backend backup FILE`: all data of the embedded mode in one file, whether the service is running or not. The
 * database is copied first: branches may then be newer than its rows, but never older, so that no finished work is missing.
 * @throws OperatorError when there is nothing to back up, or FILE exists already.
 */
export async function runBackup(options: {
  config: Config;
  logger: Logger;
  version: string;
  file: string;
  force: boolean;
  stderr?: { write(text: string): unknown; isTTY?: boolean };
}): Promise<void> {
  const { config, logger, version, force, stderr = process.stderr } = options;
  const { dataDir } = config;
  const file = resolve(options.file);
  if (config.databaseUrl !== undefined) throw new OperatorError(USE_PG_DUMP);
  if (!existsSync(join(dataDir, "postgres", "PG_VERSION")))
    throw new OperatorError(`There is nothing to back up: DATA_DIR ${dataDir} has no database.`);
  if (file.startsWith(dataDir + sep))
    throw new OperatorError(`${file} is inside DATA_DIR, which is being backed up; name a file elsewhere.`);
  if (!existsSync(dirname(file))) throw new OperatorError(`The folder ${dirname(file)} does not exist.`);
  if (existsSync(file) && !force)
    throw new OperatorError(`${file} exists already; name another file, or replace it with --force.`);

  const draft = `${file}.tmp`;
  let snapshot: string | undefined;
  let close: () => Promise<void> = async () => undefined;
  try {
    stderr.write("Copying the database…\n");
    snapshot = await askForSnapshot(dataDir);
    if (snapshot === undefined) {
      // Either no process uses the database, or one that does not answer, which opening it reports.
      const database = await openDatabase({ config, logger });
      close = () => database.close();
      snapshot = await takeSnapshot(dataDir, database);
    }
    const progress = progressLine(stderr);
    const packed: Packed = await packBackup({
      head: {
        format: FORMAT,
        version,
        made_at: new Date().toISOString(),
        migration: migrations.at(-1)?.when ?? 0,
      },
      sources: [
        { folder: snapshot, live: false },
        { folder: dataDir, live: true },
      ],
      file: draft,
      onProgress: ({ files, bytes }) => progress.show(`Packing: ${files} files, ${size(bytes)}`),
    });
    progress.end();
    noteAct(dataDir, { action: "data.backup", target: `file:${file}`, detail: { files: packed.files } });
    await rename(draft, file);
    stderr.write(
      `Backed up ${packed.files} files (${size(packed.bytes)}) to ${file} (${size(Bun.file(file).size)}). The backup contains the key that signs tokens: protect it like DATA_DIR.\n`,
    );
  } finally {
    await rm(draft, { force: true });
    if (snapshot !== undefined) await rm(snapshot, { recursive: true, force: true });
    await close();
  }
}
