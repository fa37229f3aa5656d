import { constants, existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { sql } from "drizzle-orm";
import type { Database } from "../../src/db/client.ts";
import { openEmbedded } from "../../src/db/embedded.ts";
import { migrate } from "../../src/db/migrate.ts";
import { migrationsHash } from "./services.ts";

const CACHE = resolve(import.meta.dir, "../../.cache");

/** Opens a migrated embedded database in a new folder. */
export async function openMigrated(
  dataDir: string,
  options: Omit<Parameters<typeof openEmbedded>[0], "dataDir"> = {},
): Promise<Database> {
  await copyMigrated(dataDir);
  return openEmbedded({ dataDir, ...options });
}

/** Puts a migrated embedded database into a new folder. It is copied from a template in 0.5 s; creating one takes 5 s. */
export async function copyMigrated(dataDir: string): Promise<void> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  await cp(join(await makeTemplate(), "postgres"), join(dataDir, "postgres"), {
    recursive: true,
    mode: constants.COPYFILE_FICLONE,
  });
}

/** Creates the template for these migrations unless it exists. Of concurrent processes, the first to finish wins. */
async function makeTemplate(): Promise<string> {
  const template = join(CACHE, `embedded-${migrationsHash()}`);
  if (existsSync(template)) return template;
  await mkdir(CACHE, { recursive: true });
  for (const old of (await readdir(CACHE)).filter((name) => /^embedded-[0-9a-f]+$/.test(name)))
    await rm(join(CACHE, old), { recursive: true, force: true });
  const draft = await mkdtemp(join(CACHE, "embedded-draft-"));
  const database = await openEmbedded({ dataDir: draft });
  await migrate({ database, queue: true });
  // Most of its files: what new databases are copied from, and there are none.
  await database.orm.execute(sql`update pg_database set datistemplate = false`);
  for (const name of ["template0", "template1"])
    await database.orm.execute(sql`drop database ${sql.identifier(name)}`);
  await database.close();
  await rename(draft, template).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
    await rm(draft, { recursive: true, force: true });
  });
  return template;
}
