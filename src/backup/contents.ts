import type { Dirent } from "node:fs";
import { lstat, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";

/**
 * Top-level entries of DATA_DIR that a backup leaves out: the database (its snapshot is included), locks and sockets, what
 * every start creates anew, the checkouts of running prompts, which start again after a restore, and the key of the secrets,
 * and what a killed process has left of making it: whoever has a backup has not what is sealed in it. What setups have left is made
 * anew, and with its key whoever guesses a secret could tell from the names.
 */
const LEFT_OUT =
  /^(postgres|lock.*|control\.sock|snapshot-.*|restoring|sandboxes|spare-disks|uids|reserve|git|sandbox-etc|(secrets|prepared)\.key.*|prepared|lost\+found)$/;
/** Files that git or the service has not finished writing. */
const UNFINISHED = /\.lock$|^tmp_(obj|pack|idx|rev|bitmap)_|^tmp_objdir-|\.draft$/;

export interface Item {
  /** Relative to the folder, with slashes. */
  path: string;
  file: string;
  kind: "file" | "directory" | "symlink";
  mode: number;
  mtime: Date;
  /** The target of a symlink. */
  target?: string;
}

/**
 * Everything below a folder. In a git repository refs come before objects: git writes objects before the refs to them, so
 * that every ref in the backup has its objects.
 * @param options.live other processes are changing the folder: files that disappear meanwhile are left out.
 */
export async function* itemsOf(options: { folder: string; live: boolean }): AsyncGenerator<Item> {
  yield* walk(options.folder, "", options.live);
}

async function* walk(root: string, path: string, live: boolean): AsyncGenerator<Item> {
  const entries = await readdir(join(root, path), { withFileTypes: true }).catch(unlessGone<Dirent[]>(live));
  for (const { name } of inOrder(entries ?? [])) {
    if (live && ((path === "" && LEFT_OUT.test(name)) || UNFINISHED.test(name))) continue;
    const own = path === "" ? name : `${path}/${name}`;
    const file = join(root, own);
    const stat = await lstat(file).catch(unlessGone<never>(live));
    if (!stat) continue;
    const base = { path: own, file, mode: stat.mode & 0o7777, mtime: stat.mtime };
    if (stat.isDirectory()) {
      yield { ...base, kind: "directory" };
      yield* walk(root, own, live);
    } else if (stat.isSymbolicLink()) {
      const target = await readlink(file).catch(unlessGone<string>(live));
      if (target !== undefined) yield { ...base, kind: "symlink", target };
    } else if (stat.isFile()) yield { ...base, kind: "file" };
  }
}

const RANKS: Readonly<Record<string, number>> = { refs: 0, "packed-refs": 1, objects: 3 };
const inOrder = (entries: readonly Dirent[]) =>
  entries.toSorted((a, b) => (RANKS[a.name] ?? 2) - (RANKS[b.name] ?? 2) || (a.name < b.name ? -1 : 1));

function unlessGone<T>(live: boolean) {
  return (error: NodeJS.ErrnoException): T | undefined => {
    if (live && (error.code === "ENOENT" || error.code === "ENOTDIR")) return undefined;
    throw error;
  };
}
