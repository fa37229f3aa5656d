import { link, open, rename, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { syncPath } from "../shared/sync-path.ts";

/** The id of this DATA_DIR, and so of this machine; created by whichever process is first. */
export async function hostId(dataDir: string): Promise<string> {
  const file = join(dataDir, "host-id");
  const known = await readId(file);
  if (known?.text) return known.text;
  const draft = `${file}.${crypto.randomUUID()}`;
  try {
    await writeDurably(draft, `${known?.successor ?? crypto.randomUUID()}\n`);
    if (known) await rename(draft, file);
    // A link, unlike a move, never replaces a file that another process has created meanwhile.
    else
      await link(draft, file).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "EEXIST") throw error;
      });
  } finally {
    await rm(draft, { force: true });
  }
  // So that the name lasts, too.
  syncPath(dataDir);
  return (await readId(file))?.text ?? "";
}

/**
 * What the file has; undefined if there is none. A power loss may have left it empty. Then `successor` is the id to write:
 * processes that find it empty at the same time replace it with the same one.
 */
async function readId(path: string): Promise<{ text: string; successor: string } | undefined> {
  const file = await open(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (!file) return undefined;
  try {
    const { ino, mtimeNs } = await file.stat({ bigint: true });
    const text = (await file.readFile("utf8")).replaceAll("\0", "").trim();
    return { text, successor: Bun.randomUUIDv5(`${hostname()} ${ino} ${mtimeNs}`, "dns") };
  } finally {
    await file.close();
  }
}

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, "wx");
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}
