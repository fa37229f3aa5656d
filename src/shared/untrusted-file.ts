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

/** The beginning of such a file: at most `limit` bytes, whatever its size. Undefined if there is none. */
export async function readUntrusted(path: string, limit: number): Promise<Buffer | undefined> {
  const file = await openUntrusted(path);
  if (!file) return undefined;
  try {
    const buffer = Buffer.alloc(limit);
    let size = 0;
    while (size < limit) {
      const { bytesRead } = await file.read(buffer, size, limit - size, size);
      if (bytesRead === 0) break;
      size += bytesRead;
    }
    return buffer.subarray(0, size);
  } catch {
    return undefined;
  } finally {
    await file.close();
  }
}
