import type { Dirent } from "node:fs";
import { lstat, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";

/**
 * What of DATA_DIR's first level is not in a backup: the database (its copy is), locks and sockets, what every start
 * makes anew, and checkouts of runs under way, which begin again after a restore.
 */
const LEFT_OUT =
  /^(postgres|lock.*|control\.sock|snapshot-.*|restoring|sandboxes|git|sandbox-etc|lost\+found)$/;
/** What git, or we, are still writing. */
const UNFINISHED = /\.lock$|^tmp_(obj|pack|idx|rev|bitmap)_|\.draft$/;

export interface Item {
  /** Below the folder, with slashes. */
  path: string;
  file: string;
  kind: "file" | "directory" | "symlink";
  mode: number;
  mtime: Date;
  /** Where a link leads. */
  target?: string;
}

/**
 * Everything below a folder. In a git repository refs come before objects: what is written meanwhile adds objects first,
 * so that each ref in the backup has its objects there.
 * @param options.live other processes are at work in it: what vanishes meanwhile is left out.
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
