import { createHmac, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { chmod, mkdir, open, readdir, readFile, rename, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { openPrivateFile } from "../shared/private-file.ts";
import { removeTree } from "./remove-tree.ts";

/** What a snapshot has: an archive of each of these folders of a sandbox. */
export const PARTS = ["checkout", "home"] as const;
export type Part = (typeof PARTS)[number];

/** Whatever is used, what it was made of on the network grows old. */
const MAX_AGE_MS = 7 * 86_400_000;
const MAX_COUNT = 200;
const SWEEP_EVERY_MS = 3_600_000;
/** A draft of a process that lives is renamed within moments. */
const DRAFT_AGE_MS = 10 * 60_000;
const CHUNK_BYTES = 512 * 1024;
const ABOUT = "about.json";
const KEY = /^[0-9a-f]{64}$/;
const OS_RELEASE = "/etc/os-release";

interface About {
  /** Milliseconds since 1970. */
  madeAt: number;
  /** The id of the project whose setup it was. */
  project: string;
  files: Record<Part, { bytes: number; sha256: string }>;
}

/** What setup left in a sandbox, complete and undamaged. */
export interface Snapshot {
  key: string;
  madeAt: Date;
  /** The archive of each part, as this process sees it. */
  files: Record<Part, string>;
}

/** Snapshots of prepared checkouts, in DATA_DIR/prepared: a folder each, which appears complete or not at all. */
export interface PreparedStore {
  readonly maxBytes: number;
  /**
   * The name of what these parts decide. It tells nothing of them, also not to who can guess: the digest has a key, which only
   * this DATA_DIR has. The machine is a part by itself.
   */
  keyOf(parts: unknown): string;
  /** Marks it as used. One that is damaged, or too old, is removed. */
  find(key: string): Promise<Snapshot | undefined>;
  /**
   * Takes the files away, and removes what was used the longest ago until there is room. What is there already stays.
   * @param options.project whose it is. @param options.see gets all their bytes. It refuses them by an exception.
   */
  add(
    key: string,
    files: Record<Part, string>,
    options: { project: string; see: (chunk: Buffer) => void },
  ): Promise<void>;
  remove(key: string): Promise<void>;
  /** Of all snapshots. */
  bytes(): Promise<number>;
  /**
   * Removes what is too old, and what a process that was killed has left, if the last time is an hour ago; and what was used the
   * longest ago, as long as the disk is nearly full: then no run would start. Call it often.
   */
  sweep(isNearlyFull: () => Promise<boolean>): Promise<void>;
  /** Removes those of projects that are gone. @param known which of these there are. @returns how many. */
  purge(known: (projects: readonly string[]) => Promise<ReadonlySet<string>>): Promise<number>;
}

/** @param options.maxBytes of all snapshots together; 0: there are none, and those of before are removed by `sweep`. */
export function openPreparedStore(options: { dataDir: string; maxBytes: number }): PreparedStore {
  const { dataDir, maxBytes } = options;
  const root = join(dataDir, "prepared");
  const folderOf = (key: string) => join(root, key);
  const fileIn = (folder: string, part: Part) => join(folder, `${part}.tar`);
  let sweptAt = Number.NEGATIVE_INFINITY;
  let machine: string | undefined;
  /** Programs that were built on one system may not run on the next. */
  const machineParts = () => {
    machine ??= [process.platform, process.arch, readOsRelease()].join("\n");
    return machine;
  };

  const aboutOf = async (key: string): Promise<About | undefined> => {
    try {
      const about = JSON.parse(await readFile(join(folderOf(key), ABOUT), "utf8")) as About;
      // Damaged, or another version's.
      const isWhole = PARTS.every((part) => about.files[part].sha256 && about.files[part].bytes >= 0);
      return isWhole && about.madeAt > 0 && about.project ? about : undefined;
    } catch {
      return undefined;
    }
  };
  const remove = async (key: string) => {
    // Away first: nobody finds a half of it.
    const gone = join(root, `gone-${crypto.randomUUID()}`);
    try {
      await rename(folderOf(key), gone);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
      throw error;
    }
    await removeTree(gone);
  };
  /** All, those that were used last at the end. */
  const list = async () => {
    const names = await readdir(root).catch(() => [] as string[]);
    const all = await Promise.all(
      names
        .filter((name) => KEY.test(name))
        .map(async (key) => {
          const about = await aboutOf(key);
          const used = await stat(folderOf(key)).catch(() => undefined);
          const bytes = about ? PARTS.reduce((sum, part) => sum + about.files[part].bytes, 0) : 0;
          return { key, about, bytes, usedMs: used?.mtimeMs ?? 0 };
        }),
    );
    return all.sort((a, b) => a.usedMs - b.usedMs);
  };
  const sweepHourly = async () => {
    if (performance.now() - sweptAt < SWEEP_EVERY_MS) return;
    sweptAt = performance.now();
    for (const { key, about } of await list())
      if (maxBytes === 0 || !about || isOld(about)) await remove(key);
    for (const name of await readdir(root).catch(() => [] as string[])) {
      if (KEY.test(name)) continue;
      const left = await stat(join(root, name)).catch(() => undefined);
      if (left && Date.now() - left.mtimeMs > DRAFT_AGE_MS) await removeTree(join(root, name));
    }
  };
  const isOld = ({ madeAt }: About) => Math.abs(Date.now() - madeAt) > MAX_AGE_MS;

  return {
    maxBytes,
    keyOf(parts) {
      const secret = openPrivateFile(join(dataDir, "prepared.key"), () => randomBytes(32).toString("base64"));
      return createHmac("sha256", secret)
        .update(JSON.stringify([machineParts(), parts]))
        .digest("hex");
    },
    async find(key) {
      const folder = folderOf(key);
      const about = await aboutOf(key);
      const isGood = async (part: Part) => {
        const found = await digestOf(fileIn(folder, part), () => undefined).catch(() => undefined);
        return found !== undefined && found.sha256 === about?.files[part].sha256;
      };
      if (!about || isOld(about) || !(await isGood("checkout")) || !(await isGood("home"))) {
        await remove(key);
        return undefined;
      }
      const now = new Date();
      await utimes(folder, now, now);
      const files = { checkout: fileIn(folder, "checkout"), home: fileIn(folder, "home") };
      return { key, madeAt: new Date(about.madeAt), files };
    },
    async add(key, files, { project, see }) {
      const draft = join(root, `new-${crypto.randomUUID()}`);
      await mkdir(root, { recursive: true, mode: 0o700 });
      await mkdir(draft, { mode: 0o700 });
      try {
        const about: Partial<About["files"]> = {};
        for (const part of PARTS) {
          await rename(files[part], fileIn(draft, part));
          // The user of any sandbox reads it there through a mount; the folder above keeps others out.
          await chmod(fileIn(draft, part), 0o644);
          about[part] = await digestOf(fileIn(draft, part), see);
        }
        const added = PARTS.reduce((sum, part) => sum + (about[part]?.bytes ?? 0), 0);
        await writeFile(join(draft, ABOUT), JSON.stringify({ madeAt: Date.now(), project, files: about }));
        const others = (await list()).filter((one) => one.key !== key);
        let [count, bytes] = [others.length + 1, others.reduce((sum, one) => sum + one.bytes, added)];
        for (const old of others) {
          if (count <= MAX_COUNT && bytes <= maxBytes) break;
          await remove(old.key);
          count -= 1;
          bytes -= old.bytes;
        }
        await rename(draft, folderOf(key)).catch((error: NodeJS.ErrnoException) => {
          // Another run has made the same meanwhile, and somebody may be reading it.
          if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
          return removeTree(draft);
        });
      } catch (error) {
        await removeTree(draft);
        throw error;
      }
    },
    remove,
    bytes: async () => (await list()).reduce((sum, one) => sum + one.bytes, 0),
    async sweep(isNearlyFull) {
      await sweepHourly();
      if (!(await isNearlyFull())) return;
      for (const { key } of await list()) {
        await remove(key);
        if (!(await isNearlyFull())) return;
      }
    },
    async purge(known) {
      // Asked after listing: a project is stored before anything is kept of it.
      const owned = (await list()).flatMap(({ key, about }) =>
        about ? { key, project: about.project } : [],
      );
      const there =
        owned.length > 0 ? await known([...new Set(owned.map(({ project }) => project))]) : new Set();
      const lost = owned.filter(({ project }) => !there.has(project));
      for (const { key } of lost) await remove(key);
      return lost.length;
    },
  };
}

async function digestOf(
  file: string,
  see: (chunk: Buffer) => void,
): Promise<{ bytes: number; sha256: string }> {
  const hash = new Bun.CryptoHasher("sha256");
  let bytes = 0;
  const handle = await open(file, "r");
  try {
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, CHUNK_BYTES, bytes);
      if (bytesRead === 0) return { bytes, sha256: hash.digest("hex") };
      const chunk = buffer.subarray(0, bytesRead);
      hash.update(chunk);
      see(chunk);
      bytes += bytesRead;
    }
  } finally {
    await handle.close();
  }
}

function readOsRelease(): string {
  try {
    return readFileSync(OS_RELEASE, "utf8");
  } catch {
    return "";
  }
}
