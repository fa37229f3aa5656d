import { constants } from "node:fs";
import { open, stat } from "node:fs/promises";
import { join } from "node:path";
import type { PrivateFile } from "../agents/agent.ts";

/**
 * Writes a file that the agent alone can read, into a folder of its sandbox. The agent may have written there before: the
 * name must be new, and no link is followed. Call it while no program of the sandbox runs.
 */
export async function writePrivate(folder: string, { name, text }: PrivateFile): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = await open(join(folder, name), flags, 0o600);
  try {
    await file.writeFile(text);
    const { uid, gid } = await stat(folder);
    if (uid !== (await file.stat()).uid) await file.chown(uid, gid);
  } finally {
    await file.close();
  }
}
