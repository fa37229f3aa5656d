import { readFileSync } from "node:fs";

/** The text of one of the kernel's files, such as those in /proc; "" if it cannot be read. */
export function tryRead(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
