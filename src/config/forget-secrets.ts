import { type Pointer, toArrayBuffer } from "bun:ffi";
import { readFileSync } from "node:fs";
import { SECRET_NAMES } from "./variables/all.ts";

/** Fields of /proc/self/stat behind the command's name: where the environment begins and ends. */
const ENV_START = 47;
const ENV_END = 48;

export interface Forgotten {
  /** The secrets that the environment had. */
  names: readonly string[];
  /**
   * Whether they are gone from the block of memory that the system shows to root and to this user as the process's
   * environment. Undefined: there were none.
   */
  overwritten: boolean | undefined;
}

/**
 * Removes the secrets from this process's environment, after the configuration was read, so that /proc/<pid>/environ does
 * not show them any more. Whoever started this process may still have them in its own. Bun.spawn without `env` gives
 * children the environment as it was at first (Bun 1.4); a test demands that every call says which one.
 */
export function forgetSecrets(env: Record<string, string | undefined> = process.env): Forgotten {
  const names = SECRET_NAMES.filter((name) => env[name] !== undefined);
  for (const name of names) delete env[name];
  // Looked at in any case: a .env file adds to the environment of Bun alone, and an empty variable is none.
  return { names, overwritten: names.length === 0 ? undefined : overwrite(names) };
}

function overwrite(names: readonly string[]): boolean {
  try {
    // The name of the command may contain spaces and parentheses.
    const fields = readFileSync("/proc/self/stat", "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
    const start = Number(fields[ENV_START]);
    const length = Number(fields[ENV_END]) - start;
    if (!(start > 0 && length > 0)) return false;
    const block = Buffer.from(toArrayBuffer(start as Pointer, 0, length));
    for (let at = 0; at < length; ) {
      const end = block.indexOf(0, at) < 0 ? length : block.indexOf(0, at);
      const name = names.find((one) => block.subarray(at, end).toString("latin1").startsWith(`${one}=`));
      if (name !== undefined) block.fill(0, at + name.length + 1, end);
      at = end + 1;
    }
    return !shown(names);
  } catch {
    return false;
  }
}

const shown = (names: readonly string[]): boolean =>
  readFileSync("/proc/self/environ", "latin1")
    .split("\0")
    .some((line) => names.some((name) => line.startsWith(`${name}=`) && line.length > name.length + 1));
