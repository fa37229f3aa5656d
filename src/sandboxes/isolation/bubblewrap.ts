import { join } from "node:path";
import type { Program } from "../../agents/find-program.ts";
import { MIB } from "../../shared/units.ts";
import { asUser, GATEWAY_INSIDE, inFolder, withForwarder } from "./first-program.ts";
import {
  type ClosedProgram,
  ISOLATION_FDS,
  type Isolation,
  type Mount,
  SANDBOX_HOSTNAME,
} from "./isolation.ts";
import { hideData, sealMasks } from "./mount-masks.ts";
import { etcMounts } from "./sandbox-etc.ts";
import { foldersAbove, inSystem, systemMounts } from "./system-mounts.ts";

/**
 * Whom programs run as: a host user of their own (root starts bwrap, without a user namespace, and setpriv inside changes
 * the user); user 1000 of a user namespace, which is the service's own user to the kernel; or the service's own user.
 */
export type UserMode = "own" | "namespace" | "same";

/** What bubblewrap can do on this machine, as far as tried. */
export interface Features {
  user: UserMode;
  /** A network namespace. */
  net: boolean;
  seccomp: boolean;
  /** --disable-userns. */
  noUserns: boolean;
  /** --size of --tmpfs. */
  size: boolean;
  /** --perms of --tmpfs. */
  perms: boolean;
}

/** Programs and files of this machine that bubblewrap is called with. */
export interface Tools {
  bwrap: string;
  setpriv: Program | undefined;
  socat: Program | undefined;
  dataDir: string;
  /** The folder of writeEtc. */
  etc: string;
  filter: string;
  /** Arguments that hide private files and kernel files from a program of this user. */
  masks(uid: number): readonly string[];
}

const NAMESPACE_UID = 1000;
/** Programs may write here, as to a disk; the memory that it takes is bounded even without a control group. */
const SCRATCH = { "/run": 16 * MIB, "/var/tmp": 256 * MIB, "/dev/shm": 256 * MIB };

export function bubblewrap(tools: Tools, features: Features): Isolation {
  return {
    filter: tools.filter,
    uids: features.user === "own",
    closedNetwork: features.net && tools.socat !== undefined,
    wrap: (program) => wrap(tools, features, program),
  };
}

function wrap(tools: Tools, features: Features, program: ClosedProgram): string[] {
  const { bwrap, dataDir, etc, setpriv, socat } = tools;
  const { user, net, seccomp, noUserns } = features;
  const uid = uidOf(features, program);
  const argv = firstProgram(tools, features, program, uid);
  const masks = [...tools.masks(uid), ...hideData(dataDir)];
  // The tools, where they are not part of the system.
  const all = [...program.mounts, ...readOnly([setpriv, socat].flatMap((one) => one?.readable ?? []))];
  const mounts = all.flatMap((mount) => mounted(mount, dataDir));
  return [
    bwrap,
    ...(user === "namespace" ? ["--unshare-user", "--uid", `${uid}`, "--gid", `${uid}`] : []),
    ...(user === "namespace" && noUserns ? ["--disable-userns"] : []),
    ...["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"],
    ...(net && !program.hostNetwork ? ["--unshare-net"] : []),
    ...["--die-with-parent", "--new-session", "--hostname", SANDBOX_HOSTNAME, "--cap-drop", "ALL"],
    // What setpriv needs, and drops.
    ...(user === "own"
      ? ["CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"].flatMap((one) => ["--cap-add", one])
      : []),
    ...systemMounts(),
    ...etcMounts(etc, uid),
    ...["--proc", "/proc", "--dev", "/dev"],
    ...masks,
    ...Object.entries(SCRATCH).flatMap(([path, size]) => scratch(features, path, size)),
    ...mounts,
    ...(program.gateway === undefined ? [] : ["--ro-bind", program.gateway, GATEWAY_INSIDE]),
    // Last: they hold the mount points. As user 1000, the program would be their owner.
    ...sealMasks(
      masks,
      all.map(({ target }) => target),
    ),
    ...sealMasks(mounts),
    ...["--remount-ro", "/dev", "--remount-ro", "/"],
    ...["--info-fd", `${ISOLATION_FDS.info}`],
    ...(seccomp ? ["--seccomp", `${ISOLATION_FDS.seccomp}`] : []),
    ...(program.argumentsFd === undefined ? [] : ["--args", `${program.argumentsFd}`]),
    ...["--chdir", user === "own" ? "/" : program.cwd, "--"],
    ...argv,
  ];
}

/** What bwrap starts: it becomes the program. */
function firstProgram(
  { setpriv, socat }: Tools,
  { user }: Features,
  { argv, cwd, gateway }: ClosedProgram,
  uid: number,
): readonly string[] {
  if (gateway !== undefined && !socat)
    throw new Error("socat is not installed: a program in a sandbox cannot reach its gateway");
  const own = user === "own" && setpriv;
  // Also the forwarder is the program's user.
  const first =
    gateway !== undefined && socat ? withForwarder(socat.path, cwd, argv) : own ? inFolder(cwd, argv) : argv;
  return own ? asUser(own.path, uid, first) : first;
}

function uidOf({ user }: Features, program: ClosedProgram): number {
  if (user === "namespace") return NAMESPACE_UID;
  if (user === "same") return process.getuid?.() ?? NAMESPACE_UID;
  if (program.uid === undefined) throw new Error("a program in a sandbox has no user");
  return program.uid;
}

function scratch({ size, perms }: Features, path: string, bytes: number): string[] {
  return [
    ...(perms ? ["--perms", "1777"] : []),
    ...(size ? ["--size", `${bytes}`] : []),
    ...["--tmpfs", path],
  ];
}

/** Read-only files may be gone, which the program itself reports best. DATA_DIR is hidden in whatever is mounted. */
function mounted({ source, target, writable }: Mount, dataDir: string): string[] {
  const hidden = dataDir === source || dataDir.startsWith(`${source}/`);
  return [
    ...foldersAbove([target]),
    ...[writable ? "--bind" : "--ro-bind-try", source, target],
    ...(hidden ? ["--tmpfs", join(target, dataDir.slice(source.length))] : []),
  ];
}

/** Files and folders of this machine, at their own paths, as far as they are not there anyway. */
export const readOnly = (paths: readonly string[]): Mount[] =>
  paths.filter((path) => !inSystem(path)).map((path) => ({ source: path, target: path, writable: false }));
