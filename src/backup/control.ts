import { chmodSync, rmSync } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Database } from "../db/client.ts";
import type { Logger } from "../observability/logger.ts";
import { messageOf, OperatorError } from "../shared/errors.ts";
import { completeUrl } from "../shared/request-url.ts";

/** The longest path of a socket, in bytes. The kernel's limits, with the final zero, are 104 on macOS and 108 on Linux. */
const MAX_PATH = 100;
const STATUS_TIMEOUT_MS = 3_000;
/** Snapshots of the database that are being packed. Those of killed backups are removed at the next start. */
const SNAPSHOT = /^snapshot-[0-9a-f-]{36}$/;

/** What a running service reports about itself. */
export interface ControlStatus {
  pid: number;
  version: string;
  /** Null: it does not listen. */
  url: string | null;
}

const socketOf = (dataDir: string) => join(dataDir, "control.sock");

/**
 * A socket in DATA_DIR, accessible to this user only, over which other commands reach the process that has the embedded
 * database open, as they cannot open it themselves. The caller closes it.
 */
export async function openControl(options: {
  dataDir: string;
  database: Database;
  status: () => ControlStatus;
  logger: Logger;
}): Promise<{ close(): Promise<void> }> {
  const { dataDir, database, status, logger } = options;
  const socket = socketOf(dataDir);
  for (const name of await readdir(dataDir))
    if (SNAPSHOT.test(name)) await rm(join(dataDir, name), { recursive: true, force: true });
  if (Buffer.byteLength(socket) > MAX_PATH) {
    logger.warn("the path of DATA_DIR is too long for a socket: backups need the service to be stopped", {
      data_dir: dataDir,
    });
    return { close: async () => undefined };
  }
  // This process holds the folder's lock, so that the socket is left over from a crash.
  rmSync(socket, { force: true });
  const server = Bun.serve({
    unix: socket,
    development: false,
    async fetch(request) {
      const malformed = completeUrl(request);
      if (malformed) return Response.json({ error: malformed.message }, { status: 400 });
      const { pathname } = new URL(request.url);
      if (request.method === "GET" && pathname === "/status") return Response.json(status());
      if (request.method === "POST" && pathname === "/snapshot")
        try {
          return Response.json({ folder: await takeSnapshot(dataDir, database) });
        } catch (error) {
          logger.error("database snapshot for a backup failed", { error });
          return Response.json({ error: messageOf(error) }, { status: 500 });
        }
      return new Response(null, { status: 404 });
    },
  });
  chmodSync(socket, 0o600);
  return {
    async close() {
      await server.stop(true);
      rmSync(socket, { force: true });
    },
  };
}

/** A consistent copy of the embedded database in a new folder of DATA_DIR, which the caller removes. */
export async function takeSnapshot(dataDir: string, database: Database): Promise<string> {
  if (!database.copyFiles) throw new Error("only an embedded database can be copied");
  const folder = join(dataDir, `snapshot-${crypto.randomUUID()}`);
  try {
    await mkdir(folder, { mode: 0o700 });
    await database.copyFiles(join(folder, "postgres"));
    return folder;
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/** Asks the process that runs on this DATA_DIR for a snapshot of its database; undefined if none answers. */
export async function askForSnapshot(dataDir: string): Promise<string | undefined> {
  const reply = await ask(dataDir, "/snapshot", { method: "POST" });
  if (!reply) return undefined;
  const { folder, error } = (await reply.json()) as { folder?: string; error?: string };
  if (folder === undefined)
    throw new OperatorError(
      `The running service could not copy its database: ${error ?? "it gave no reason"}.`,
    );
  return folder;
}

/** What the process on this DATA_DIR reports about itself; undefined if none answers. */
export async function askForStatus(dataDir: string): Promise<ControlStatus | undefined> {
  const reply = await ask(dataDir, "/status", { signal: AbortSignal.timeout(STATUS_TIMEOUT_MS) });
  return reply?.ok ? ((await reply.json()) as ControlStatus) : undefined;
}

async function ask(dataDir: string, path: string, init: RequestInit): Promise<Response | undefined> {
  const socket = socketOf(dataDir);
  if (Buffer.byteLength(socket) > MAX_PATH) return undefined;
  try {
    return await fetch(`http://control${path}`, { ...init, unix: socket });
  } catch {
    // There is no process, or its version has no control socket.
    return undefined;
  }
}
