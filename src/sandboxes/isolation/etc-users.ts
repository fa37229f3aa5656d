import { chmodSync, lstatSync, renameSync, writeFileSync } from "node:fs";
import { lstat, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { INSIDE } from "./inside.ts";

/** Files of users are written anew after half of it, and removed after it: those of a running program stay mounted. */
const USER_FILES_MS = 24 * 60 * 60_000;

/**
 * bwrap's arguments for /etc/passwd and /etc/group: many programs look up their own user and fail if there is none.
 * @param folder where the files are kept, one of each for a user.
 */
export function userMounts(folder: string, uid: number): string[] {
  const isRoot = uid === 0;
  const texts = {
    passwd: `agent:x:${uid}:${uid}::${INSIDE.home}:/bin/sh\n${isRoot ? "" : "root:x:0:0:root:/root:/bin/sh\n"}nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n`,
    group: `agent:x:${uid}:\n${isRoot ? "" : "root:x:0:\n"}nogroup:x:65534:\n`,
  };
  return (["passwd", "group"] as const).flatMap((name) => {
    const file = join(folder, `${name}-${uid}`);
    const age = Date.now() - (lstatSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0);
    if (age > USER_FILES_MS / 2) {
      // In two steps, because another process may start a program of the same user meanwhile.
      const draft = `${file}.${crypto.randomUUID()}`;
      writeFileSync(draft, texts[name]);
      chmodSync(draft, 0o644);
      renameSync(draft, file);
    }
    return ["--ro-bind", file, join("/etc", name)];
  });
}

/** Removes the files of users that no program runs as. */
export async function removeOldUsers(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const file = join(folder, name);
    const made = (await lstat(file).catch(() => undefined))?.mtimeMs ?? Date.now();
    if (/^(passwd|group)-/.test(name) && Date.now() - made > USER_FILES_MS) await rm(file, { force: true });
  }
}
