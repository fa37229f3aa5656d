import { mkdir, open } from "node:fs/promises";
import { dirname, join, normalize } from "node:path";
import type { MemoryFile } from "../db/json-columns.ts";
import { keptFolder } from "./kept-state.ts";
import { hashOf, PIECE_BYTES, readPiece } from "./state-pieces.ts";

/** How many pieces are asked for at a time. */
const BATCH = 32;

/** A state as the database has it. */
export interface StoredState {
  files: readonly MemoryFile[];
  /** The pieces of these names, as far as they are there. */
  pieces(hashes: readonly string[]): Promise<ReadonlyMap<string, Uint8Array>>;
}

/** A piece is missing, or is not what its name says. */
export class StateDamaged extends Error {
  override readonly name = "StateDamaged";
}

/**
 * Writes a stored state into a new state folder. Pieces that this machine has kept of the session are not fetched, whichever
 * prompt they are from: each is what its name says, or is not used.
 * @param folder of the session, where this machine keeps its files. @throws StateDamaged
 */
export async function restoreState(folder: string, state: string, stored: StoredState): Promise<void> {
  const kept = await keptFolder(folder);
  for (const file of stored.files) await restoreFile({ kept, state, stored, file });
}

async function restoreFile(options: {
  kept: string | undefined;
  state: string;
  stored: StoredState;
  file: MemoryFile;
}): Promise<void> {
  const { kept, state, stored, file } = options;
  const target = join(state, safePath(file.path));
  await mkdir(dirname(target), { recursive: true, mode: 0o700 });
  const handle = await open(target, "wx", file.executable ? 0o700 : 0o600);
  try {
    for (let first = 0; first < file.chunks.length; first += BATCH) {
      const hashes = file.chunks.slice(first, first + BATCH);
      const own = await Promise.all(
        hashes.map(async (hash, index) => {
          const piece =
            kept && (await readPiece(join(kept, file.path), first + index).catch(() => undefined));
          return piece && hashOf(piece) === hash ? piece : undefined;
        }),
      );
      const missing = hashes.filter((_, index) => own[index] === undefined);
      const fetched = missing.length > 0 ? await stored.pieces(missing) : new Map<string, Uint8Array>();
      for (const [index, hash] of hashes.entries()) {
        const piece = own[index] ?? fetched.get(hash);
        const at = (first + index) * PIECE_BYTES;
        if (!piece || piece.length !== Math.min(PIECE_BYTES, file.size - at) || hashOf(piece) !== hash)
          throw new StateDamaged(`a piece of ${file.path} is missing or damaged`);
        await handle.write(piece, 0, piece.length, at);
      }
    }
  } finally {
    await handle.close();
  }
}

/** Paths come from the database; still, none may lead elsewhere. */
function safePath(path: string): string {
  if (path === "" || path.startsWith("/") || normalize(path) !== path || path.split("/").includes(".."))
    throw new StateDamaged(`not a path below the state folder: ${JSON.stringify(path)}`);
  return path;
}
