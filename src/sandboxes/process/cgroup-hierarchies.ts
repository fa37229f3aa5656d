import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { tryRead } from "../../shared/try-read.ts";
import { fieldsAfterName } from "./identity.ts";

/** What a controller of the kernel limits or counts. cpuacct is a part of cpu in version 2. */
const CONTROLLERS = ["memory", "pids", "cpu", "cpuacct"] as const;
type Controller = (typeof CONTROLLERS)[number];

/** A tree of control groups, and the folder in it below which this process may create groups. */
export interface Hierarchy {
  version: 1 | 2;
  folder: string;
  controllers: ReadonlySet<Controller>;
}

/** In version 2 only leaves may have both processes and limits: the leaf of the service's own processes. */
const SERVICE_LEAF = "service";

/**
 * The hierarchies of this machine that may be usable; trying is left to the caller. Version 1 mounts each controller by
 * itself; version 2 has one tree for all, in which a service without root's powers may only use the group that it is in,
 * and only if that was delegated to it (systemd: `Delegate=yes`).
 * @param options.mounts the text of /proc/self/mountinfo. @param options.own the text of /proc/self/cgroup.
 */
export function findHierarchies(options: { mounts: string; own: string; root: boolean }): Hierarchy[] {
  const { mounts, own, root } = options;
  return mounts.split("\n").flatMap((line): Hierarchy[] => {
    const [left = "", right = ""] = line.split(" - ");
    const [, , , mountRoot = "/", folder = ""] = left.split(" ");
    const [type, , superOptions = ""] = right.split(" ");
    if (type === "cgroup") {
      const names = superOptions.split(",");
      const controllers = new Set(CONTROLLERS.filter((one) => names.includes(one)));
      return controllers.size > 0 ? [{ version: 1, folder, controllers }] : [];
    }
    if (type !== "cgroup2") return [];
    const start = root ? folder : ownFolder(folder, mountRoot, own);
    return [{ version: 2, folder: start, controllers: new Set(["cpuacct"]) }];
  });
}

/**
 * The file by which a process joins a group, and all that it starts from then on. Version 1 lets a single thread join,
 * and the shell has no other: only then the kernel takes no lock that costs a grace period of RCU (5 to 20 ms).
 */
export const joinFile = (version: Hierarchy["version"], group: string) =>
  join(group, version === 1 ? "tasks" : "cgroup.procs");

/**
 * The folder of the group that was delegated to this process: the one that it is in, or, with systemd's
 * `DelegateSubgroup=service`, the one above. A container may see a part of the tree alone.
 */
function ownFolder(mount: string, mountRoot: string, own: string): string {
  const path = /^0::(.*)$/m.exec(own)?.[1] ?? "/";
  const below = mountRoot !== "/" && path.startsWith(mountRoot) ? path.slice(mountRoot.length) : path;
  const folder = join(mount, below);
  return basename(folder) === SERVICE_LEAF ? dirname(folder) : folder;
}

/**
 * Lets groups below a folder of version 2 have limits. If the service itself is in that folder, its processes move to a
 * leaf of their own first, because the kernel refuses both at once.
 * @param mayMove whether such a move is allowed. Without root's powers it never is if others are in that folder: then it
 * is a terminal's, say, and not the service's.
 * @returns the hierarchy with the controllers that its groups have. @throws where that is not permitted.
 */
export function enableControllers(hierarchy: Hierarchy, mayMove: boolean): Hierarchy {
  const { folder } = hierarchy;
  const available = readFileSync(join(folder, "cgroup.controllers"), "utf8").trim().split(" ");
  const wanted = CONTROLLERS.filter((one) => available.includes(one));
  const enable = () =>
    writeFileSync(join(folder, "cgroup.subtree_control"), wanted.map((one) => `+${one}`).join(" "));
  if (wanted.length > 0)
    try {
      enable();
    } catch (error) {
      const busy = (error as NodeJS.ErrnoException).code === "EBUSY";
      if (!busy || !mayMove || !(process.getuid?.() === 0 || isOwn(folder))) throw error;
      moveToLeaf(folder);
      enable();
    }
  return { ...hierarchy, controllers: new Set([...wanted, "cpuacct"]) };
}

/** Whether nothing but this process and its children is in a group. */
const isOwn = (folder: string) =>
  pidsIn(folder).every((pid) => {
    const parent = fieldsAfterName(tryRead(`/proc/${pid}/stat`))[1];
    return pid === process.pid || parent === `${process.pid}`;
  });

function moveToLeaf(folder: string): void {
  const leaf = join(folder, SERVICE_LEAF);
  mkdirSync(leaf, { recursive: true });
  for (const pid of pidsIn(folder)) tryWrite(join(leaf, "cgroup.procs"), `${pid}`);
}

/** The processes in a group, as far as this process can see them. */
export function pidsIn(folder: string): number[] {
  return tryRead(join(folder, "cgroup.procs"))
    .split("\n")
    .map(Number)
    .filter((pid) => pid > 0);
}

/** The groups directly in a folder. */
export function groupsIn(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch {
    return [];
  }
}

/** @returns false while something is in it. */
export function removeGroup(folder: string): boolean {
  try {
    rmdirSync(folder);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "EBUSY";
  }
  return true;
}

/** @returns whether the kernel has accepted it. */
export function tryWrite(file: string, text: string): boolean {
  try {
    // Never creates the file: what is not there cannot be set. Some may be written to, but not read.
    const descriptor = openSync(file, constants.O_WRONLY);
    try {
      writeSync(descriptor, text);
    } finally {
      closeSync(descriptor);
    }
    return true;
  } catch {
    return false;
  }
}
