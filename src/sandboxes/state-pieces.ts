import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { readFully } from "../shared/untrusted-file.ts";

/** Of a kept file, in each piece but the last, bytes. What a transcript grows by costs about half a piece in addition. */
export const PIECE_BYTES = 128 * 1024;

/** The name of a piece: its SHA-256, base64url. */
export const hashOf = (piece: Uint8Array): string => createHash("sha256").update(piece).digest("base64url");

/** A piece of a file of our own; shorter at the file's end, empty behind it. */
export async function readPiece(file: string, index: number): Promise<Uint8Array> {
  const handle = await open(file, "r");
  try {
    const buffer = Buffer.alloc(PIECE_BYTES);
    return buffer.subarray(0, await readFully(handle, buffer, index * PIECE_BYTES));
  } finally {
    await handle.close();
  }
}
