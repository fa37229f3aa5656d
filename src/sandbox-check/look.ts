import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type Attempt, blocked, open, refused } from "./attack.ts";

/** Blocked unless the file's text can be read. Never waits for a writer, as of a FIFO, and reads no more than a page. */
export function unreadable(path: string): Attempt {
  return refused(path, () => {
    const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const size = readSync(file, Buffer.alloc(4096));
      if (size === 0) throw new Error("empty");
      return `${size} bytes read`;
    } finally {
      closeSync(file);
    }
  });
}

export const unseen = (path: string): Attempt =>
  existsSync(path) ? open(`${path} is visible`) : blocked(`${path}: ENOENT`);

/** Blocked unless a file can be created in the folder. */
export function unwritable(folder: string): Attempt {
  const file = join(folder, `sandbox-check-${process.pid}`);
  return refused(folder, () => {
    writeFileSync(file, "");
    rmSync(file);
    return "a file was created";
  });
}

/** Opens for writing and writes nothing. */
export const unopened = (path: string): Attempt =>
  refused(path, () => {
    closeSync(openSync(path, constants.O_WRONLY));
    return "opened for writing";
  });

export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Processes in sight. */
export const pids = (): string[] => namesIn("/proc").filter((name) => /^\d+$/.test(name));
