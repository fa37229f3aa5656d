import { existsSync, lstatSync, readlinkSync } from "node:fs";

/** Mounted read-only, whole. Nothing else of the machine (home directories, DATA_DIR, /var, /run, /srv) is visible. */
const SYSTEM = ["/usr", "/opt", "/nix", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/** bwrap's arguments for the system's folders, and the folders that are not its own, in which links may lead. */
export function systemMounts(): string[] {
  return SYSTEM.filter((path) => existsSync(path)).flatMap((path) =>
    lstatSync(path).isSymbolicLink() ? ["--symlink", readlinkSync(path), path] : ["--ro-bind", path, path],
  );
}

/** Whether a path is in a folder of `systemMounts`. */
export const inSystem = (path: string) => SYSTEM.some((root) => path === root || path.startsWith(`${root}/`));

/** bwrap's arguments for the folders above mount points. Those that bwrap makes by itself only root can enter. */
export function foldersAbove(targets: readonly string[]): string[] {
  const above = targets.flatMap((target) => {
    const parts = target.split("/").slice(1, -1);
    return parts.map((_, index) => `/${parts.slice(0, index + 1).join("/")}`);
  });
  return [...new Set(above)].filter((path) => !inSystem(path)).flatMap((path) => ["--dir", path]);
}
