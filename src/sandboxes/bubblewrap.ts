import { existsSync, lstatSync, readlinkSync, realpathSync } from "node:fs";
import type { SandboxPaths } from "../agents/agent.ts";

/** Where things are for programs inside, in the order of mounting. */
export const INSIDE = {
  tmp: "/tmp",
  home: "/home/agent",
  state: "/home/agent/.agent",
  checkout: "/workspace",
} as const satisfies SandboxPaths;

/** The system, read-only. Everything else of the machine (home directories, DATA_DIR, /var, /run, /srv) is not there. */
const SYSTEM = ["/usr", "/etc", "/opt", "/nix", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
/** Readable by root in /etc, and root is who often starts us. */
const SECRET_FILES = ["/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/sudoers"];

export interface Bubblewrap {
  program: string;
  /** A user namespace of its own: whoever starts us, the agent is nobody special. */
  userNamespace: boolean;
}

/** Finds out by trying whether bubblewrap can isolate here; a string says why not and what to do. */
export function probeBubblewrap(path: string): Bubblewrap | string {
  const program = Bun.which("bwrap", { PATH: path });
  if (!program) return "bubblewrap is not installed (Debian: apt-get install bubblewrap)";
  let reason = "";
  for (const userNamespace of [true, false]) {
    const wrap: Bubblewrap = { program, userNamespace };
    const { exitCode, stderr } = Bun.spawnSync({ cmd: [...isolation(wrap), "true"], env: { PATH: path } });
    if (exitCode === 0) return wrap;
    reason ||= stderr.toString().trim().split("\n").at(-1) ?? "";
  }
  return `bubblewrap does not work here: ${reason} (are unprivileged user namespaces allowed? see sysctl kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns; in a container, run it with --security-opt seccomp=unconfined)`;
}

/** The argument list up to the program to run. @param binds more of bwrap's own arguments. */
function isolation({ program, userNamespace }: Bubblewrap, binds: readonly string[] = []): string[] {
  const system = SYSTEM.filter((path) => existsSync(path)).flatMap((path) =>
    lstatSync(path).isSymbolicLink() ? ["--symlink", readlinkSync(path), path] : ["--ro-bind", path, path],
  );
  const secrets = SECRET_FILES.filter((path) => existsSync(path)).flatMap((path) => [
    "--ro-bind",
    "/dev/null",
    path,
  ]);
  return [
    program,
    ...(userNamespace ? ["--unshare-user", "--uid", "1000", "--gid", "1000"] : []),
    ...[
      "--unshare-pid",
      "--unshare-ipc",
      "--unshare-uts",
      "--unshare-cgroup-try",
      "--die-with-parent",
      "--new-session",
    ],
    ...["--hostname", "sandbox", "--cap-drop", "ALL"],
    ...system,
    ...secrets,
    ...resolver(),
    ...["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/dev/shm"],
    ...binds,
  ];
}

/** What /etc/resolv.conf points to often lives outside /etc. */
function resolver(): string[] {
  try {
    const real = realpathSync("/etc/resolv.conf");
    return real.startsWith("/etc/") ? [] : ["--ro-bind", real, real];
  } catch {
    return [];
  }
}

/** Wraps a program: only the checkout, home, tmp and state are writable; `readable` is added read-only. */
export function wrap(
  bubblewrap: Bubblewrap,
  host: SandboxPaths,
  options: { readable: readonly string[]; argv: readonly string[] },
): string[] {
  const own = (Object.keys(INSIDE) as (keyof SandboxPaths)[]).flatMap((name) => [
    "--bind",
    host[name],
    INSIDE[name],
  ]);
  // After our own mounts: a program below /tmp or /home must not be hidden by them.
  const readable = options.readable.filter(
    (path) => !SYSTEM.some((root) => path === root || path.startsWith(`${root}/`)),
  );
  const mounts = [...own, ...readable.flatMap((path) => ["--ro-bind-try", path, path])];
  return [...isolation(bubblewrap, mounts), "--chdir", INSIDE.checkout, "--", ...options.argv];
}
