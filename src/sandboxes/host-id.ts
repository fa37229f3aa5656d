import { link, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** The id of this DATA_DIR, and so of this machine; created by whichever process is first. */
export async function hostId(dataDir: string): Promise<string> {
  const file = join(dataDir, "host-id");
  const read = () => readFile(file, "utf8").then((text) => text.trim());
  const known = await read().catch(() => "");
  if (known) return known;
  const draft = `${file}.${crypto.randomUUID()}`;
  await writeFile(draft, `${crypto.randomUUID()}\n`);
  // A link, unlike a move, never replaces a file that another process has created meanwhile.
  await link(draft, file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
  await rm(draft);
  return read();
}
