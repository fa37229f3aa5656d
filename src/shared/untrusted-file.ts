import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";

/**
 * Opens a file where a program that is not trusted can write. Links are not followed, because they may lead to any file of
 * this machine; a FIFO does not block, and is refused like devices and folders.
 * @returns undefined if there is no regular file.
 */
export async function openUntrusted(path: string): Promise<FileHandle | undefined> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(path, flags).catch(() => undefined);
  const isFile = await file?.stat().then(
    (found) => found.isFile(),
    () => false,
  );
  if (isFile) return file;
  await file?.close();
  return undefined;
}

/** Fills the buffer from this place in a file. @returns how many bytes: fewer only at the file's end. */
export async function readFully(file: FileHandle, buffer: Buffer, position: number): Promise<number> {
  let filled = 0;
  while (filled < buffer.length) {
    const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}

/** The beginning of such a file: at most `limit` bytes, whatever its size. Undefined if there is none. */
export async function readUntrusted(path: string, limit: number): Promise<Buffer | undefined> {
  const file = await openUntrusted(path);
  if (!file) return undefined;
  try {
    const buffer = Buffer.alloc(limit);
    return buffer.subarray(0, await readFully(file, buffer, 0));
  } catch {
    return undefined;
  } finally {
    await file.close();
  }
}
