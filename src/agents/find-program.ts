import { accessSync, constants, lstatSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join, resolve, sep } from "node:path";

/** A program of this machine, and what a sandbox must be able to read for it to run there. */
export interface Program {
  /** Absolute; the link that was found, not what it points at (some programs look at their own name). */
  path: string;
  /** Absolute: every link on the way, and the folder of the real file. */
  readable: readonly string[];
}

/**
 * Looks a program up as a shell would: a name with a slash is a path (relative to this process's directory), any other
 * is searched for on `path`. Undefined where there is no executable file of that name.
 * @param path folders separated by colons, as in PATH.
 */
export function findProgram(name: string, path: string): Program | undefined {
  if (name === "") return undefined;
  // An empty entry would mean the working directory: never look for programs there.
  const folders = path.split(delimiter).filter((one) => one !== "");
  const candidates = name.includes(sep) ? [resolve(name)] : folders.map((folder) => resolve(folder, name));
  const found = candidates.find(isExecutable);
  return found === undefined ? undefined : { path: found, readable: readableFor(found) };
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** The links from `file` to the real file, then what the real file needs around it. */
function readableFor(file: string): string[] {
  const result = new Set([file]);
  let at = file;
  // The system refuses longer chains itself.
  for (let hops = 0; hops < 40 && lstatSync(at).isSymbolicLink(); hops++) {
    at = resolve(dirname(at), readlinkSync(at));
    result.add(at);
  }
  const real = realpathSync(file);
  result.add(real);
  result.add(surroundings(real));
  return [...result];
}

/** A program's own folder; for an npm package all of its node_modules, since packages load one another from there. */
function surroundings(real: string): string {
  const marker = `${sep}node_modules${sep}`;
  const at = real.indexOf(marker);
  if (at >= 0) return join(real.slice(0, at), "node_modules");
  const folder = dirname(real);
  // A program that lies in a home directory must not open the whole of it.
  return folder === "/" || folder === homedir() ? real : folder;
}
