import { open, stat } from "node:fs/promises";
import { sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../db/client.ts";
import type { MemoryFile } from "../db/json-columns.ts";
import { retryWhileUnavailable } from "../db/retry-while-unavailable.ts";
import { LeaseLost, lockedLease } from "../lifecycle/fence.ts";
import { namedByMemory } from "../lifecycle/kept-pieces.ts";
import type { ClaimedRun } from "../lifecycle/start-run.ts";
import { type PackedChunk, packed, putChunks, readChunks } from "../memory/chunk-store.ts";
import { type CheckoutRequest, RepositoryError } from "../sandboxes/sandbox.ts";
import { hashOf, PIECE_BYTES, readPiece } from "../sandboxes/state-pieces.ts";

/** Pieces in one statement. */
const BATCH = 8;

/**
 * What a run's session could not push, in the database, under the run's fence.
 * @param options.host this machine. @param options.maxBytes of a bundle (UNPUSHED_WORK_MAX_MB).
 */
export function openUnpushedStore(options: {
  orm: Orm;
  run: ClaimedRun;
  host: string;
  signal: AbortSignal;
  maxBytes: number;
}): CheckoutRequest["unpushed"] {
  const { orm, run, host, signal, maxBytes } = options;
  let known = { commit: run.unpushedCommit, host: run.unpushedHost };
  return {
    get commit() {
      return known.commit;
    },
    get host() {
      return known.host;
    },
    read: (file) => readUnpushed(orm, { sessionId: run.sessionId, file, signal }),

    async keep(commit, file) {
      const { size } = await stat(file);
      if (size > maxBytes) {
        await retryWhileUnavailable(signal, () => keepsHere(orm, run, commit, host));
        known = { commit, host };
        return false;
      }
      const chunks: string[] = [];
      for (let first = 0; first * PIECE_BYTES < size; first += BATCH) {
        const batch: PackedChunk[] = [];
        for (let index = first; index < first + BATCH && index * PIECE_BYTES < size; index += 1) {
          const piece = await readPiece(file, index);
          const hash = hashOf(piece);
          chunks.push(hash);
          batch.push({ hash, data: await packed(piece) });
        }
        await retryWhileUnavailable(signal, () => putChunks(orm, run, batch));
      }
      const bundle: MemoryFile = { path: "unpushed.bundle", size, chunks };
      await retryWhileUnavailable(signal, () => replace(orm, run, commit, bundle));
      known = { commit, host: null };
      return true;
    },
  };
}

/**
 * Writes the bundle of what a session could not push to a file.
 * @returns false: there is none. @throws RepositoryError if it is damaged.
 */
export async function readUnpushed(
  orm: Orm,
  { sessionId, file, signal }: { sessionId: string; file: string; signal: AbortSignal },
): Promise<boolean> {
  const rows = await retryWhileUnavailable(signal, () =>
    rowsOf<{ bundle: MemoryFile | null }>(
      orm,
      sql`select bundle from unpushed_work where session_id = ${sessionId}::uuid`,
    ),
  );
  if (rows[0]?.bundle === null) return false;
  const { chunks = [], size } = rows[0]?.bundle ?? {};
  let written = 0;
  const handle = await open(file, "wx", 0o600);
  try {
    for (let first = 0; first < chunks.length; first += BATCH) {
      const hashes = chunks.slice(first, first + BATCH);
      const found = await retryWhileUnavailable(signal, () => readChunks(orm, sessionId, hashes));
      for (const hash of hashes) {
        const piece = found.get(hash);
        if (!piece || hashOf(piece) !== hash)
          throw new RepositoryError("a piece of it is missing or damaged.");
        await handle.write(piece);
        written += piece.length;
      }
    }
    // git would take a shorter one for a connection that broke, and the prompt would be retried.
    if (written !== size) throw new RepositoryError("a piece of it is missing or damaged.");
  } finally {
    await handle.close();
  }
  return true;
}

/** Names the bundle the session's, and removes the pieces that only the one before it had. */
async function replace(orm: Orm, run: ClaimedRun, commit: string, bundle: MemoryFile): Promise<void> {
  const written = await rowsOf(
    orm,
    sql`with lease as (${lockedLease(run)}),
    old as (select w.bundle -> 'chunks' as chunks from unpushed_work w, lease where w.session_id = lease.session_id),
    gone as (
      delete from session_chunk c using lease, old
      where c.session_id = lease.session_id and old.chunks ? c.hash
        and not ${JSON.stringify(bundle.chunks)}::jsonb ? c.hash
        and not ${namedByMemory})
    insert into unpushed_work (session_id, commit, bundle)
    select lease.session_id, ${commit}, ${JSON.stringify(bundle)}::jsonb from lease
    on conflict (session_id) do update set commit = excluded.commit, bundle = excluded.bundle, host = null, stored_at = now()
    returning session_id`,
  );
  if (written.length === 0) throw new LeaseLost();
}

/**
 * Writes down that this machine alone has the commit. A bundle of earlier ones stays: if the machine is lost, it is all there
 * is.
 */
async function keepsHere(orm: Orm, run: ClaimedRun, commit: string, host: string): Promise<void> {
  const written = await rowsOf(
    orm,
    sql`with lease as (${lockedLease(run)})
    insert into unpushed_work (session_id, commit, host)
    select lease.session_id, ${commit}, ${host} from lease
    on conflict (session_id) do update set commit = excluded.commit, host = excluded.host, stored_at = now()
    returning session_id`,
  );
  if (written.length === 0) throw new LeaseLost();
}
