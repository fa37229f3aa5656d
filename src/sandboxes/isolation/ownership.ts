import { lchown, readdir } from "node:fs/promises";

const TIMEOUT_MS = 60_000;

/** Gives a tree to a user, without following links. No program of a sandbox may be changing it meanwhile. */
export async function giveTreeTo(uid: number, folder: string, path: string): Promise<void> {
  // Mostly it is new: starting a program would take longer than the rest of making it.
  if ((await readdir(folder)).length === 0) return lchown(folder, uid, uid);
  const child = Bun.spawn(["chown", "-R", "-P", "-h", "--", `${uid}:${uid}`, folder], {
    env: { PATH: path },
    stdio: ["ignore", "ignore", "ignore"],
    timeout: TIMEOUT_MS,
  });
  if ((await child.exited) !== 0) throw new Error(`${folder} could not be given to user ${uid}`);
}
