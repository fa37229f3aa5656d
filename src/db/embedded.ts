import { constants, existsSync } from "node:fs";
import { cp, open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import initdbWasm from "@electric-sql/pglite/initdb.wasm" with { type: "file" };
import fsBundle from "@electric-sql/pglite/pglite.data" with { type: "file" };
import { drizzle } from "drizzle-orm/pglite";
import type { Database, Orm } from "./client.ts";
import { lockDataDir } from "./data-dir-lock.ts";
import { openDurableFiles, type SyncData } from "./durable-files.ts";
import { poolAround } from "./embedded-pool.ts";
import { compile, compileProgram } from "./embedded-program.ts";
import * as tables from "./tables.ts";

/** In place of the program that creates a database, where there is one: PGlite would look for its file. */
const NO_PROGRAM = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
/** PGlite's own, with fsync, by the one system call that our files have. */
const DURABLE_PARAMS = [
  ...PGlite.defaultStartParams.filter((param) => param !== "-F"),
  "-c",
  "wal_sync_method=fsync",
  // Instead of 128 MB, all of which PostgreSQL touches when it starts. What it lacks, the system's cache has.
  "-c",
  "shared_buffers=32MB",
];

/**
 * Opens PostgreSQL inside this process, with its files in DATA_DIR/postgres. The first start creates them, in 3 to 5 s.
 * @param options.onFailure called once, when the disk has refused to store something: only a restart can help.
 * @param options.syncData for tests.
 * @throws OperatorError when another process uses the folder.
 */
export async function openEmbedded(options: {
  dataDir: string;
  onFailure?: ((error: Error) => void) | undefined;
  syncData?: SyncData | undefined;
}): Promise<Database> {
  const unlock = lockDataDir(options.dataDir);
  const folder = join(options.dataDir, "postgres");
  const isNew = !existsSync(join(folder, "PG_VERSION"));
  if (isNew) process.stderr.write("Creating the embedded database (once, a few seconds)…\n");
  const { files, durable, usable, asked } = openDurableFiles(folder, options.onFailure, options.syncData);
  let client: PGlite;
  try {
    const [pgliteWasmModule, initdbWasmModule] = await Promise.all([
      compileProgram(),
      isNew ? compile(initdbWasm) : WebAssembly.compile(NO_PROGRAM),
    ]);
    client = await PGlite.create({
      fs: files,
      startParams: DURABLE_PARAMS,
      pgliteWasmModule,
      initdbWasmModule,
      fsBundle: Bun.file(fsBundle),
    });
    // One session serves our queries and BullMQ's, whose statements omit the schema. Our tables are in public, and no name
    // is in both schemas.
    await client.exec("create schema if not exists bullmq; set search_path to public, bullmq");
    if (isNew) await secureAll(folder);
  } catch (error) {
    unlock();
    throw error;
  }
  // All that PGlite does goes through it, also its own rollback of a transaction that failed.
  const call = client.execProtocolRawSync.bind(client);
  client.execProtocolRawSync = (message) => {
    usable();
    return call(message);
  };
  // Its statements do not wait for the disk. BullMQ's are such: the queue only dispatches, and what it loses is found in
  // our tables.
  const hasty: PGlite = Object.assign(Object.create(client), {
    query: client.query.bind(client),
    exec: client.exec.bind(client),
    transaction: client.transaction.bind(client),
    onNotification: client.onNotification.bind(client),
  });
  makeDurable(client, durable);
  const orm = drizzle(client, { schema: tables }) as unknown as Orm;

  return {
    kind: "embedded",
    orm,
    asyncCommit: drizzle(hasty, { schema: tables }) as unknown as Orm,
    listen(channel, onNotify) {
      // A client must not hear of what a power failure could still undo. In their order.
      let last: Promise<void> = Promise.resolve();
      return client.listen(channel, (payload) => {
        last = last.then(durable).then(
          () => onNotify(payload),
          () => undefined,
        );
      });
    },
    queuePool: () => poolAround(hasty),
    // There is only one process and one session: nothing else runs meanwhile.
    async withAdvisoryLock(_lock, work, signal) {
      signal?.throwIfAborted();
      return work(orm);
    },
    leads: async () => true,
    commits: asked,
    async copyFiles(target) {
      // After a checkpoint, a database on the copy starts quickly. Nothing writes during the copy, and the write-ahead log
      // has what only memory had. PGlite's own dumpDataDir holds the whole database in memory.
      await client.exec("checkpoint");
      await client.runExclusive(() =>
        cp(folder, target, { recursive: true, mode: constants.COPYFILE_FICLONE }),
      );
    },
    async close() {
      try {
        await client.close();
        await durable();
      } finally {
        unlock();
      }
    },
  };
}

/** Results of statements and transactions are returned when they are on the disk. */
function makeDurable(client: PGlite, durable: () => Promise<void>): void {
  for (const name of ["query", "exec", "transaction"] as const) {
    const run = client[name].bind(client) as (...args: unknown[]) => Promise<unknown>;
    Object.assign(client, {
      [name]: async (...args: unknown[]) => {
        const result = await run(...args);
        await durable();
        return result;
      },
    });
  }
}

/** The program that creates the database neither syncs its files nor keeps them from its group. */
async function secureAll(folder: string): Promise<void> {
  for (const name of ["", ...(await readdir(folder, { recursive: true }))]) {
    const file = await open(join(folder, name));
    try {
      await file.chmod((await file.stat()).mode & 0o700);
      await file.sync();
    } finally {
      await file.close();
    }
  }
}
