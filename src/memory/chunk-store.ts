import { zstdDecompressSync } from "node:zlib";
import { sql } from "drizzle-orm";
import { type Orm, type Queryable, rowsOf } from "../db/client.ts";
import { eachText } from "../db/text-list.ts";
import { type Fence, LeaseLost, lockedLease } from "../lifecycle/fence.ts";

/** A piece as it is stored, packed with zstd. */
export interface PackedChunk {
  hash: string;
  data: Uint8Array;
}

/** The largest unpacked piece, bytes: what is stored could be made to unpack to anything. */
const MAX_PIECE_BYTES = 1024 * 1024;

/** Notes that a run needs these pieces. @returns those that are stored already. @throws LeaseLost */
export async function touchChunks(
  orm: Queryable,
  run: Fence,
  hashes: readonly string[],
): Promise<Set<string>> {
  const rows = await rowsOf<{ session_id: string; hash: string | null }>(
    orm,
    sql`with lease as (${lockedLease(run)}),
    touched as (
      update session_chunk c set used_at = now() from lease
      where c.session_id = lease.session_id
        and c.hash in ${eachText(hashes)}
      returning c.hash)
    select lease.session_id, touched.hash from lease left join touched on true`,
  );
  if (rows.length === 0) throw new LeaseLost();
  return new Set(rows.flatMap(({ hash }) => hash ?? []));
}

/** Stores pieces of a run's session. Idempotent. @throws LeaseLost */
export async function putChunks(orm: Queryable, run: Fence, chunks: readonly PackedChunk[]): Promise<void> {
  // A statement cannot insert a row twice: what repeats itself, as much of nothing does when it is packed, has equal pieces.
  const different = new Map(chunks.map((chunk) => [chunk.hash, chunk]));
  const rows = different
    .values()
    .map(({ hash, data }) => ({ hash, data: Buffer.from(data).toString("base64") }))
    .toArray();
  const written = await rowsOf(
    orm,
    sql`with lease as (${lockedLease(run)}),
    stored as (
      insert into session_chunk (session_id, hash, data)
      select lease.session_id, e.value ->> 'hash', decode(e.value ->> 'data', 'base64')
      from lease, jsonb_array_elements(${JSON.stringify(rows)}::jsonb) e
      on conflict (session_id, hash) do update set used_at = now())
    select session_id from lease`,
  );
  if (written.length === 0) throw new LeaseLost();
}

/** The unpacked pieces of these names, as far as a session has them and they can be unpacked. */
export async function readChunks(
  orm: Orm,
  sessionId: string,
  hashes: readonly string[],
): Promise<Map<string, Uint8Array>> {
  const rows = await rowsOf<{ hash: string; data: string }>(
    orm,
    sql`select hash, encode(data, 'base64') as data from session_chunk
      where session_id = ${sessionId}::uuid
        and hash in ${eachText(hashes)}`,
  );
  const found = new Map<string, Uint8Array>();
  for (const { hash, data } of rows) {
    const piece = unpacked(Buffer.from(data, "base64"));
    if (piece) found.set(hash, piece);
  }
  return found;
}

export const packed = (piece: Uint8Array): Promise<Uint8Array> => Bun.zstdCompress(piece, { level: 3 });

/** Undefined: it is damaged, or too large. */
function unpacked(data: Buffer): Uint8Array | undefined {
  try {
    return zstdDecompressSync(data, { maxOutputLength: MAX_PIECE_BYTES });
  } catch {
    return undefined;
  }
}
