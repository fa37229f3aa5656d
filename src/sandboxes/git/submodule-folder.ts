import { lstat, readdir, realpath } from "node:fs/promises";
import { join } from "node:path";
import { RepositoryError } from "./git-errors.ts";

/**
 * The folder that git has made for a submodule: a real one, that no link leads to, and empty. What git lets through is checked
 * again here, because git is given this folder to write in, wherever it leads.
 * @param parent folder of the repository that has it. @throws RepositoryError
 */
export async function emptyFolder(parent: string, path: string): Promise<string> {
  const folder = join(parent, path);
  if (path.split("/").some((part) => part === ".." || part === "." || part.toLowerCase() === ".git"))
    throw new RepositoryError("git allows no such path");
  const real = await realpath(folder).catch(() => undefined);
  const isFolder = real !== undefined && (await lstat(folder)).isDirectory();
  if (!isFolder || real !== join(await realpath(parent), path) || (await readdir(folder)).length > 0)
    throw new RepositoryError("its path is no empty folder of the checkout");
  return folder;
}
