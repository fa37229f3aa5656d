import { constants, existsSync } from "node:fs";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import initdbWasm from "@electric-sql/pglite/initdb.wasm" with { type: "file" };
import fsBundle from "@electric-sql/pglite/pglite.data" with { type: "file" };
import pgliteWasm from "@electric-sql/pglite/pglite.wasm" with { type: "file" };
import { drizzle } from "drizzle-orm/pglite";
import type { Database, Orm } from "./client.ts";
import { lockDataDir } from "./data-dir-lock.ts";
import { poolAround } from "./embedded-pool.ts";
import * as tables from "./tables.ts";

/**
 * Opens PostgreSQL inside this process, with its files in DATA_DIR/postgres. The first start creates them, in 3 to 5 s.
 * @throws OperatorError when another process uses the folder.
 */
export async function openEmbedded(options: { dataDir: string }): Promise<Database> {
  const unlock = lockDataDir(options.dataDir);
  const folder = join(options.dataDir, "postgres");
  if (!existsSync(join(folder, "PG_VERSION")))
    process.stderr.write("Creating the embedded database (once, a few seconds)…\n");
  let client: PGlite;
  try {
    const [pgliteWasmModule, initdbWasmModule] = await Promise.all([
      compile(pgliteWasm),
      compile(initdbWasm),
    ]);
    client = await PGlite.create({
      dataDir: folder,
      pgliteWasmModule,
      initdbWasmModule,
      fsBundle: Bun.file(fsBundle),
    });
    // One session serves our queries and BullMQ's, whose statements omit the schema. Our tables are in public, and no name
    // is in both schemas.
    await client.exec("create schema if not exists bullmq; set search_path to public, bullmq");
  } catch (error) {
    unlock();
    throw error;
  }
  const orm = drizzle(client, { schema: tables }) as unknown as Orm;

  return {
    kind: "embedded",
    orm,
    listen: (channel, onNotify) => client.listen(channel, onNotify),
    queuePool: () => poolAround(client),
    // There is only one process and one session: nothing else runs meanwhile.
    async withAdvisoryLock(_lock, work, signal) {
      signal?.throwIfAborted();
      return work(orm);
    },
    leads: async () => true,
    async copyFiles(target) {
      // After a checkpoint, a database on the copy starts quickly. Nothing writes during the copy, and the write-ahead log
      // has what only memory had. PGlite's own dumpDataDir holds the whole database in memory.
      await client.exec("checkpoint");
      await client.runExclusive(() =>
        cp(folder, target, { recursive: true, mode: constants.COPYFILE_FICLONE }),
      );
    },
    async close() {
      await client.close();
      unlock();
    },
  };
}

async function compile(path: string): Promise<WebAssembly.Module> {
  return WebAssembly.compile(await Bun.file(path).arrayBuffer());
}
