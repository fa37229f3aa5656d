import { readFileSync } from "node:fs";
import { link, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createKeyedMutex } from "../../shared/keyed-mutex.ts";

/** How many ids are tried before the range counts as full. */
const TRIES = 1000;

/**
 * Host users of sandboxes, each of one sandbox at a time: two sandboxes of the same user could read and kill each other.
 * A claim is the file DATA_DIR/uids/<uid> with the sandbox's id; the sandbox's folder has the number, too, in `uid`.
 * Services with other DATA_DIRs on this machine need another range, or share a user rarely and by chance.
 */
export interface Uids {
  /** The sandbox's user; claims one if it has none. Its folder exists. */
  claim(id: string, folder: string): Promise<number>;
  /** Frees the sandbox's user. Idempotent. Call it when the folder is gone, with what `of` said before. */
  release(uid: number | undefined, id: string): Promise<void>;
  /** Frees the users whose sandboxes do not exist. */
  sweep(exists: (id: string) => boolean): Promise<void>;
}

/** The user of a sandbox, by its folder. A file that a crash has left empty is none: it must not read as 0, which is root. */
export function uidIn(folder: string): number | undefined {
  try {
    const text = readFileSync(join(folder, "uid"), "utf8");
    return /^[1-9]\d*$/.test(text) ? Number(text) : undefined;
  } catch {
    return undefined;
  }
}

export function openUids(options: { dataDir: string; range: { first: number; last: number } }): Uids {
  const { first, last } = options.range;
  const folder = join(options.dataDir, "uids");
  const fileOf = (uid: number) => join(folder, `${uid}`);
  const holderOf = (uid: number) => readFile(fileOf(uid), "utf8").catch(() => undefined);

  const claimNew = async (id: string): Promise<number> => {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const draft = join(folder, `draft-${crypto.randomUUID()}`);
    await writeFile(draft, id, { mode: 0o600 });
    try {
      const size = last - first + 1;
      // A user that was just freed is claimed again as late as possible.
      const start = Math.floor(Math.random() * size);
      for (let step = 0; step < Math.min(size, TRIES); step += 1) {
        const uid = first + ((start + step) % size);
        try {
          // Unlike a file that is created and then written, never there without its content.
          await link(draft, fileOf(uid));
          return uid;
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
        }
      }
      throw new Error(`all users of AGENT_UIDS (${first}-${last}) are in use`);
    } finally {
      await rm(draft, { force: true });
    }
  };

  const held = async (id: string, sandboxFolder: string) => {
    const uid = uidIn(sandboxFolder);
    return uid !== undefined && (await holderOf(uid)) === id ? uid : undefined;
  };
  // Two claims at once, such as of git's user, would take two users, of which one is never used nor freed.
  const mutex = createKeyedMutex();

  const uids: Uids = {
    claim: (id, sandboxFolder) =>
      mutex(id, async () => {
        const known = await held(id, sandboxFolder);
        if (known !== undefined) return known;
        const file = join(sandboxFolder, "uid");
        await rm(file, { force: true });
        const uid = await claimNew(id);
        const draft = `${file}.${crypto.randomUUID()}`;
        await writeFile(draft, `${uid}`, { mode: 0o600 });
        try {
          await link(draft, file);
          return uid;
        } catch (error) {
          await uids.release(uid, id);
          // Another process was faster.
          const other = await held(id, sandboxFolder);
          if (other === undefined) throw error;
          return other;
        } finally {
          await rm(draft, { force: true });
        }
      }),
    async release(uid, id) {
      if (uid !== undefined && (await holderOf(uid)) === id) await rm(fileOf(uid), { force: true });
    },
    async sweep(exists) {
      const names = await readdir(folder).catch(() => []);
      for (const uid of names.filter((one) => /^\d+$/.test(one)).map(Number)) {
        const id = await holderOf(uid);
        if (id !== undefined && !exists(id)) await uids.release(uid, id);
      }
    },
  };
  return uids;
}
