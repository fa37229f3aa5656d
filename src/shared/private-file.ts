import { randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { syncPath } from "./sync-path.ts";

/** A file that its owner alone may read; its mode is corrected. Undefined: there is none. */
export function readPrivateFile(file: string): string | undefined {
  try {
    const text = readFileSync(file, "utf8");
    restrictToOwner(file);
    return text;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Best effort: some file systems have no modes. */
function restrictToOwner(file: string): void {
  try {
    if (statSync(file).mode & 0o077) chmodSync(file, 0o600);
  } catch {}
}

/** The text of such a file, which is created if there is none: of several processes that do so at once, all get the same. */
export const openPrivateFile = (file: string, make: () => string): string =>
  readPrivateFile(file) ?? createPrivateFile(file, make());

/**
 * The file appears complete and on the disk or not at all: it is written to a draft, flushed, then linked to its name.
 * Linking fails when another process was first; then that process's text is used.
 */
function createPrivateFile(file: string, text: string): string {
  const draft = `${file}.${process.pid}.${randomBytes(6).toString("hex")}`;
  try {
    const descriptor = openSync(draft, "wx", 0o600);
    try {
      writeSync(descriptor, text);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    linkSync(draft, file);
    syncPath(dirname(file));
    return text;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return readFileSync(file, "utf8");
  } finally {
    rmSync(draft, { force: true });
  }
}
