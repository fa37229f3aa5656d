import { existsSync, lstatSync, readlinkSync, realpathSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { SandboxPaths } from "../../agents/agent.ts";
import { signalGroup } from "../../shared/signal-group.ts";
import { hideData, hidePrivate, proc } from "./mount-masks.ts";

/** Paths inside the sandbox, in the order of mounting. */
export const INSIDE = {
  tmp: "/tmp",
  home: "/home/agent",
  state: "/home/agent/.agent",
  checkout: "/workspace",
} as const satisfies SandboxPaths;

/** Mounted read-only. Nothing else of the machine (home directories, DATA_DIR, /var, /run, /srv) is visible. */
const SYSTEM = ["/usr", "/etc", "/opt", "/nix", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
/** Folders in it that are searched for secrets, and how many levels deep. */
const PRIVATE = { "/etc": 8, "/opt": 3, "/usr/local": 3 };
const EMPTY = ["/run", "/root", "/var/tmp", "/dev/shm"];
const UID = 1000;
const PROBE_TIMEOUT_MS = 10_000;
/** The search blocks the event loop for milliseconds, and new secrets in /etc are rare. */
const MASKS_MAX_AGE_MS = 30_000;
const REMEDY =
  "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0); in a container start it with --security-opt seccomp=unconfined --security-opt systempaths=unconfined";

export interface Bubblewrap {
  program: string;
  /** Whether the agent gets a user namespace of its own, and so no privileges, whichever user runs the service. */
  userNamespace: boolean;
  dataDir: string;
  /** Arguments that hide private files; searched for at most every `MASKS_MAX_AGE_MS`. */
  mountMasks(): readonly string[];
}

/** Tries whether bubblewrap can isolate on this machine. @returns a string with the reason and a remedy if it cannot. */
export async function probeBubblewrap(options: {
  path: string;
  dataDir: string;
}): Promise<Bubblewrap | string> {
  const { path, dataDir } = options;
  const program = Bun.which("bwrap", { PATH: path });
  if (!program)
    return "bubblewrap is not installed; install it (Debian: apt-get install bubblewrap) and start again";
  await mkdir(join(dataDir, "sandbox-etc"), { recursive: true, mode: 0o700 });
  let reason = "";
  for (const userNamespace of [true, false]) {
    const wrapper: Bubblewrap = { program, userNamespace, dataDir, mountMasks: cachedMountMasks() };
    await writeFile(passwdOf(dataDir), passwd(userNamespace ? UID : (process.getuid?.() ?? UID)));
    const child = Bun.spawn([...isolation(wrapper, [], []), "--", "true"], {
      env: { PATH: path },
      stdio: ["ignore", "ignore", "pipe"],
      timeout: PROBE_TIMEOUT_MS,
      detached: true,
    });
    const exitCode = await child.exited;
    // Whatever it started would keep stderr open.
    signalGroup(child.pid, "SIGKILL");
    const stderr = await child.stderr.text();
    if (exitCode === 0) return wrapper;
    reason ||= stderr.trim().split("\n").at(-1) || "no output within 10 s";
  }
  return `bubblewrap does not work here (${reason}); ${REMEDY}`;
}

function cachedMountMasks(): () => readonly string[] {
  let masks: readonly string[] = [];
  let searchedAt = Number.NEGATIVE_INFINITY;
  return () => {
    if (performance.now() - searchedAt > MASKS_MAX_AGE_MS) {
      masks = Object.entries(PRIVATE).flatMap(([folder, depth]) => hidePrivate(folder, depth));
      searchedAt = performance.now();
    }
    return masks;
  };
}

/** Many programs look up their own user and fail if there is none. */
function passwd(uid: number): string {
  const agent = `agent:x:${uid}:${uid}::${INSIDE.home}:/bin/sh\n`;
  const root = uid === 0 ? "" : `root:x:0:0:root:/root:/bin/sh\n`;
  return `${agent}${root}nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n`;
}

const passwdOf = (dataDir: string) => join(dataDir, "sandbox-etc", "passwd");

/** bwrap's arguments up to the program to run. @param binds more of bwrap's own arguments. */
function isolation(
  { program, userNamespace, dataDir, mountMasks }: Bubblewrap,
  binds: readonly string[],
  readable: readonly string[],
): string[] {
  const system = SYSTEM.filter((path) => existsSync(path)).flatMap((path) =>
    lstatSync(path).isSymbolicLink() ? ["--symlink", readlinkSync(path), path] : ["--ro-bind", path, path],
  );
  return [
    program,
    ...(userNamespace ? ["--unshare-user", "--uid", `${UID}`, "--gid", `${UID}`] : []),
    ...["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"],
    ...["--die-with-parent", "--new-session", "--hostname", "sandbox", "--cap-drop", "ALL"],
    ...system,
    ...mountMasks(),
    ...(existsSync("/etc/passwd") ? ["--ro-bind", passwdOf(dataDir), "/etc/passwd"] : []),
    ...proc(),
    ...["--dev", "/dev"],
    ...EMPTY.flatMap((path) => ["--tmpfs", path]),
    ...resolver(),
    ...binds,
    ...readable.flatMap((path) => ["--ro-bind-try", path, path]),
    ...hideData(dataDir, [...SYSTEM, ...readable]),
  ];
}

/** /etc/resolv.conf often links to a file outside /etc. */
function resolver(): string[] {
  try {
    const real = realpathSync("/etc/resolv.conf");
    return real.startsWith("/etc/") ? [] : ["--ro-bind", real, real];
  } catch {
    return [];
  }
}

/** Wraps a program: only checkout, home, tmp and state are writable; `readable` is mounted read-only. */
export function wrap(
  bubblewrap: Bubblewrap,
  host: SandboxPaths,
  options: { readable: readonly string[]; argv: readonly string[]; infoFd: number },
): string[] {
  const own = (Object.keys(INSIDE) as (keyof SandboxPaths)[]).flatMap((name) => [
    "--bind",
    host[name],
    INSIDE[name],
  ]);
  // After the sandbox's own mounts, which would hide a program below /tmp or /home.
  const readable = options.readable.filter(
    (path) => !SYSTEM.some((root) => path === root || path.startsWith(`${root}/`)),
  );
  return [
    ...isolation(bubblewrap, own, readable),
    ...["--info-fd", `${options.infoFd}`, "--chdir", INSIDE.checkout, "--"],
    ...options.argv,
  ];
}
