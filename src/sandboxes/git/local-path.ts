import { lstatSync, realpathSync } from "node:fs";
import { dirname, join, sep } from "node:path";
import { RepositoryError } from "./git-errors.ts";

/** Which repositories of this machine sessions may name by path. */
export interface LocalRules {
  /** A repository's real path must be one of these folders, or below one. */
  roots: readonly string[];
  /** Nothing below it is a repository: agents and the service write there. */
  dataDir: string;
}

/** The one repository in DATA_DIR that sessions may name. Agents cannot see it. */
export const examplePath = (dataDir: string): string => join(dataDir, "example");

/**
 * Checks a path by where it really leads. A path that does not exist is judged by the nearest folder that does, so that the
 * answer tells nothing of what is outside of the listed folders.
 * @returns its real path. @throws Error with the end of a sentence for the user.
 */
export function allowedPath(path: string, { roots, dataDir }: LocalRules): string {
  const real = realOrParent(path);
  const data = realOrParent(dataDir);
  const example = examplePath(data);
  if (real === example && lstatSync(example, { throwIfNoEntry: false })?.isDirectory()) return real;
  // Whoever lists DATA_DIR itself, or a folder around it, does not mean what agents and the service write there.
  const own = real === data || isBelow(real, data);
  if (!own && roots.map(realOrParent).some((root) => real === root || isBelow(real, root))) return real;
  throw new Error(
    "is a path that is not below a folder of LOCAL_REPOSITORIES; whoever runs the service can list its folder there",
  );
}

/**
 * The folder of a path repository that git works on: all that a sandboxed git gets of it. Whatever leads elsewhere from
 * there would be followed by a git outside a sandbox, and not found by one inside.
 * @param real its real path. @param display how users name it.
 * @throws RepositoryError with a sentence for the user.
 */
export function gitFolderOf(real: string, display: string): string {
  const nested = join(real, ".git");
  const found = lstatSync(nested, { throwIfNoEntry: false });
  const folder = found ? nested : real;
  if ((found && !found.isDirectory()) || exists(join(folder, "commondir")))
    throw new RepositoryError(
      `${display} is a worktree or a submodule; name the repository that it belongs to.`,
    );
  if (!isFolder(join(folder, "objects")) || !isFolder(join(folder, "refs")))
    throw new RepositoryError(`There is no git repository at ${display} that this service can read.`);
  if (exists(join(folder, "objects/info/alternates")))
    throw new RepositoryError(
      `${display} borrows objects from another repository; run \`git repack -a -d\` in it and remove objects/info/alternates.`,
    );
  return folder;
}

const exists = (path: string) => lstatSync(path, { throwIfNoEntry: false }) !== undefined;

/** A folder itself, not a link to one: a mount would follow it. */
const isFolder = (path: string) => lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;

const isBelow = (path: string, root: string) => path.startsWith(`${root}${sep}`);

/** The real path of a file, or, where there is none, of its nearest folder with the rest appended. */
function realOrParent(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    const parent = dirname(path);
    return parent === path
      ? path
      : join(realOrParent(parent), path.slice(parent === "/" ? 1 : parent.length + 1));
  }
}
