import { accessSync, constants, existsSync, lstatSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { delimiter, dirname, isAbsolute, join, resolve, sep } from "node:path";

/** A program of this machine, and what must be readable in a sandbox for it to run there. */
export interface Program {
  /** Absolute; if it is a link, the link itself (some programs depend on their own name). */
  path: string;
  /** Absolute: every link up to the real file, the real file, and the node_modules that it is in. */
  readable: readonly string[];
}

/**
 * Finds a program as a shell does: a name with a slash is a path (relative to this process's directory); any other is
 * searched for in `path`. Undefined if there is no executable file of that name.
 * @param path folders separated by colons, as in PATH.
 */
export function findProgram(name: string, path: string): Program | undefined {
  if (name === "") return undefined;
  // An empty entry means the working directory: never search for programs there.
  const folders = path.split(delimiter).filter((one) => one !== "");
  const candidates = name.includes(sep) ? [resolve(name)] : folders.map((folder) => resolve(folder, name));
  const found = candidates.find(isExecutable);
  return found === undefined ? undefined : { path: found, readable: readableFor(found) };
}

/** The same of a whole command: if the program is an interpreter, an argument names its script. */
export function findCommand(
  [name, ...args]: readonly [string, ...string[]],
  path: string,
): Program | undefined {
  const found = findProgram(name, path);
  const files = args.filter((one) => isAbsolute(one) && existsSync(one));
  return found && { ...found, readable: [...found.readable, ...files] };
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** The links from `file` to the real file, the real file, and the package that it belongs to. */
function readableFor(file: string): string[] {
  const result = new Set([file]);
  let at = file;
  // The kernel follows no longer chains.
  for (let hops = 0; hops < 40 && lstatSync(at).isSymbolicLink(); hops++) {
    at = resolve(dirname(at), readlinkSync(at));
    result.add(at);
  }
  const real = realpathSync(file);
  result.add(real);
  const modules = modulesOf(real);
  if (modules) result.add(modules);
  return [...result];
}

/**
 * The node_modules of an npm package, because packages load one another from there. Any other program is its file alone:
 * in a folder beside it may be whatever its owner keeps there.
 */
function modulesOf(real: string): string | undefined {
  const marker = `${sep}node_modules${sep}`;
  const at = real.indexOf(marker);
  return at < 0 ? undefined : join(real.slice(0, at), "node_modules");
}
