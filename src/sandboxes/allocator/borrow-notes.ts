import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Borrowed } from "./allocator-client.ts";

/**
 * Notes in DATA_DIR of what was borrowed, by sandbox id: each is kept until the database has recorded the same. A crash in
 * between must not lose a sandbox.
 */
export interface BorrowNotes {
  write(id: string, borrowed: Borrowed): Promise<void>;
  read(id: string): Promise<Borrowed | undefined>;
  /** Idempotent. */
  remove(id: string): Promise<void>;
  /** Ids of the sandboxes that there are notes of. */
  ids(): Promise<string[]>;
}

export function openBorrowNotes(dataDir: string): BorrowNotes {
  const folder = join(dataDir, "borrowed");
  const fileOf = (id: string) => join(folder, `${id}.json`);
  return {
    async write(id, borrowed) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      const draft = `${fileOf(id)}.new`;
      await writeFile(draft, JSON.stringify(borrowed), { mode: 0o600 });
      await rename(draft, fileOf(id));
    },
    async read(id) {
      const text = await readFile(fileOf(id), "utf8").catch(() => undefined);
      return text === undefined ? undefined : (JSON.parse(text) as Borrowed);
    },
    remove: (id) => rm(fileOf(id), { force: true }),
    async ids() {
      const names = await readdir(folder).catch(() => []);
      return names.filter((name) => name.endsWith(".json")).map((name) => name.slice(0, -".json".length));
    },
  };
}
