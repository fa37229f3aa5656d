import { existsSync, lstatSync, readlinkSync, realpathSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { SandboxPaths } from "../../agents/agent.ts";
import { hideData, hidePrivate, proc } from "./mount-masks.ts";

/** Where things are for programs inside, in the order of mounting. */
export const INSIDE = {
  tmp: "/tmp",
  home: "/home/agent",
  state: "/home/agent/.agent",
  checkout: "/workspace",
} as const satisfies SandboxPaths;

/** The system, read-only. Everything else of the machine (home directories, DATA_DIR, /var, /run, /srv) is not there. */
const SYSTEM = ["/usr", "/etc", "/opt", "/nix", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
/** Where secrets are looked for in it, and how deep. */
const PRIVATE = { "/etc": 8, "/opt": 3, "/usr/local": 3 };
const EMPTY = ["/run", "/root", "/var/tmp", "/dev/shm"];
const UID = 1000;
const PROBE_TIMEOUT_MS = 10_000;
/** Looking takes some milliseconds of everybody's time; new secrets in /etc are rare. */
const COVERS_MAX_AGE_MS = 30_000;
const FIX =
  "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0); in a container start it with --security-opt seccomp=unconfined --security-opt systempaths=unconfined";

export interface Bubblewrap {
  program: string;
  /** A user namespace of its own: whoever starts us, the agent is nobody special. */
  userNamespace: boolean;
  dataDir: string;
  /** Arguments that hide what is private; looked for at most every `COVERS_MAX_AGE_MS`. */
  covers(): readonly string[];
}

/** Finds out by trying whether bubblewrap can isolate here; a string says why not and what to do. */
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
    const wrapper: Bubblewrap = { program, userNamespace, dataDir, covers: rememberedCovers() };
    await writeFile(passwdOf(dataDir), passwd(userNamespace ? UID : (process.getuid?.() ?? UID)));
    const child = Bun.spawn([...isolation(wrapper, [], []), "--", "true"], {
      env: { PATH: path },
      stdio: ["ignore", "ignore", "pipe"],
      timeout: PROBE_TIMEOUT_MS,
    });
    const [stderr, exitCode] = await Promise.all([child.stderr.text(), child.exited]);
    if (exitCode === 0) return wrapper;
    reason ||= stderr.trim().split("\n").at(-1) || "it did not answer";
  }
  return `bubblewrap does not work here (${reason}); ${FIX}`;
}

function rememberedCovers(): () => readonly string[] {
  let known: readonly string[] = [];
  let lookedAt = Number.NEGATIVE_INFINITY;
  return () => {
    if (performance.now() - lookedAt > COVERS_MAX_AGE_MS) {
      known = Object.entries(PRIVATE).flatMap(([folder, depth]) => hidePrivate(folder, depth));
      lookedAt = performance.now();
    }
    return known;
  };
}

/** Programs look their own user up; many fail where there is none. */
function passwd(uid: number): string {
  const agent = `agent:x:${uid}:${uid}::${INSIDE.home}:/bin/sh\n`;
  const root = uid === 0 ? "" : `root:x:0:0:root:/root:/bin/sh\n`;
  return `${agent}${root}nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n`;
}

const passwdOf = (dataDir: string) => join(dataDir, "sandbox-etc", "passwd");

/** The argument list up to the program to run. @param binds more of bwrap's own arguments. */
function isolation(
  { program, userNamespace, dataDir, covers }: Bubblewrap,
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
    ...covers(),
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
  options: { readable: readonly string[]; argv: readonly string[]; infoFd: number },
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
  return [
    ...isolation(bubblewrap, own, readable),
    ...["--info-fd", `${options.infoFd}`, "--chdir", INSIDE.checkout, "--"],
    ...options.argv,
  ];
}
