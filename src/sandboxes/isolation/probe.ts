import { closeSync, openSync } from "node:fs";
import { findProgram } from "../../agents/find-program.ts";
import { signalGroup } from "../../shared/signal-group.ts";
import { bubblewrap, type Features, type Tools, type UserMode } from "./bubblewrap.ts";
import type { Isolation } from "./isolation.ts";
import { createMasks } from "./mount-masks.ts";
import { etcFolder, writeEtc } from "./sandbox-etc.ts";
import { hasFilter, writeFilter } from "./seccomp.ts";

const PROBE_TIMEOUT_MS = 10_000;
/** A machine under load is slow: that says nothing about what works. */
const TRIES = 3;
const REMEDIES = {
  bubblewrap: "install it (Debian: apt-get install bubblewrap)",
  socat: "install it (Debian: apt-get install socat)",
  namespaces:
    "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0); in a container start it with --security-opt seccomp=deploy/seccomp/prompt-backend.json --security-opt apparmor=unconfined --security-opt systempaths=unconfined",
  uid: "start the service as an ordinary user; or, as root, install setpriv (Debian: util-linux), keep CAP_SYS_ADMIN, CAP_SETUID, CAP_SETGID and CAP_SETPCAP, and set AGENT_UIDS to users that exist here",
  net: "allow network namespaces; in a container start it with --security-opt seccomp=deploy/seccomp/prompt-backend.json",
  seccomp: "use a kernel with CONFIG_SECCOMP_FILTER, on x64 or arm64",
} as const;

/** A part of the isolation that this machine lacks, as sentences of a log. */
export interface MissingPart {
  part: "bubblewrap" | "user namespaces" | "socat" | "network namespace" | "seccomp" | "uid";
  why: string;
  remedy: string;
}

export interface Probed {
  /** Undefined: bubblewrap does not work here at all. */
  isolation: Isolation | undefined;
  missing: readonly MissingPart[];
  /** What works, for people. */
  detail: string;
}

/**
 * Tries what of the isolation works on this machine, from the most to the least.
 * @param options.uids the host users of sandboxes.
 */
export async function probeIsolation(options: {
  path: string;
  dataDir: string;
  uids: { first: number };
  timeoutMs?: number;
}): Promise<Probed> {
  const { path, dataDir, uids, timeoutMs = PROBE_TIMEOUT_MS } = options;
  const bwrap = findProgram("bwrap", path)?.path;
  if (!bwrap)
    return nothing({
      part: "bubblewrap",
      why: "bubblewrap is not installed",
      remedy: REMEDIES.bubblewrap,
    });
  const root = process.getuid?.() === 0;
  const etc = etcFolder(dataDir);
  await writeEtc(etc);
  const { arch } = process;
  const [filter, help] = await Promise.all([
    hasFilter(arch) ? writeFilter(dataDir, arch) : undefined,
    helpOf(bwrap, path),
  ]);
  const setpriv = findProgram("setpriv", path);
  const socat = findProgram("socat", path);
  const toolsFor = (user: UserMode): Tools => {
    const masks = createMasks({ ownUser: user === "own", root });
    return { bwrap, setpriv, socat, dataDir, etc, filter: filter ?? "/dev/null", masks };
  };

  let reason = "";
  for (const features of candidates({
    root,
    setpriv: setpriv !== undefined,
    seccomp: filter !== undefined,
    help,
  })) {
    const isolation = bubblewrap(toolsFor(features.user), features);
    let failure = await tryOut(isolation, path, uids.first, timeoutMs);
    for (let tries = 1; failure === TIMED_OUT && tries < TRIES; tries += 1)
      failure = await tryOut(isolation, path, uids.first, timeoutMs);
    if (failure === undefined)
      return {
        isolation,
        missing: missingParts(features, { root, socat: socat !== undefined, reason }),
        detail: detailOf(bwrap, features),
      };
    reason ||= failure;
    // With less isolation it would not be faster.
    if (failure === TIMED_OUT) break;
  }
  return nothing({
    part: root ? "bubblewrap" : "user namespaces",
    why: `bubblewrap does not work here (${reason})`,
    remedy: REMEDIES.namespaces,
  });
}

const nothing = (part: MissingPart): Probed => ({
  isolation: undefined,
  missing: [part],
  detail: `${part.why}; ${part.remedy}`,
});

/** From the most to the least isolated. */
function candidates(options: {
  root: boolean;
  setpriv: boolean;
  seccomp: boolean;
  help: string;
}): Features[] {
  const { root, setpriv, help } = options;
  const size = help.includes("--size");
  const perms = help.includes("--perms");
  const users: UserMode[] = root && setpriv ? ["own", "namespace", "same"] : ["namespace", "same"];
  return users.flatMap((user) =>
    [true, false].flatMap((net) =>
      (options.seccomp ? [true, false] : [false]).flatMap((seccomp) =>
        (user === "namespace" && help.includes("--disable-userns") ? [true, false] : [false]).map(
          (noUserns) => ({ user, net, seccomp, noUserns, size, perms }),
        ),
      ),
    ),
  );
}

const TIMED_OUT = "no answer in time";

/** @returns why a program cannot be started; undefined if it can. */
async function tryOut(
  isolation: Isolation,
  path: string,
  uid: number,
  timeout: number,
): Promise<string | undefined> {
  const [info, seccomp] = [openSync("/dev/null", "w"), openSync(isolation.filter, "r")];
  const child = Bun.spawn(isolation.wrap({ argv: ["true"], mounts: [], cwd: "/", uid }), {
    env: { PATH: path },
    stdio: ["ignore", "ignore", "pipe", info, seccomp],
    timeout,
    killSignal: "SIGKILL",
    detached: true,
  });
  for (const fd of [info, seccomp]) closeSync(fd);
  const exitCode = await child.exited;
  // Whatever it started would keep stderr open.
  signalGroup(child.pid, "SIGKILL");
  const stderr = await new Response(child.stderr).text();
  if (exitCode === 0) return undefined;
  if (child.signalCode === "SIGKILL") return TIMED_OUT;
  return stderr.trim().split("\n").at(-1) || `it ended with ${exitCode}, without a word`;
}

async function helpOf(bwrap: string, path: string): Promise<string> {
  const child = Bun.spawn([bwrap, "--help"], {
    env: { PATH: path },
    stdio: ["ignore", "pipe", "ignore"],
    timeout: PROBE_TIMEOUT_MS,
    detached: true,
  });
  await child.exited;
  signalGroup(child.pid, "SIGKILL");
  return child.stdout.text();
}

function missingParts(
  { user, net, seccomp }: Features,
  { root, socat, reason }: { root: boolean; socat: boolean; reason: string },
): MissingPart[] {
  const because = reason ? ` (${reason})` : "";
  const parts: (MissingPart | false)[] = [
    root &&
      user !== "own" && {
        part: "uid",
        why: `as root, sandboxes cannot have users of their own${because}`,
        remedy: REMEDIES.uid,
      },
    !net && {
      part: "network namespace",
      why: `programs cannot have a network of their own${because}`,
      remedy: REMEDIES.net,
    },
    !seccomp && {
      part: "seccomp",
      why: `system calls cannot be filtered${because}`,
      remedy: REMEDIES.seccomp,
    },
    !socat && { part: "socat", why: "socat is not installed", remedy: REMEDIES.socat },
  ];
  return parts.filter((one) => one !== false);
}

function detailOf(bwrap: string, { user, net, seccomp }: Features): string {
  const parts = [
    user === "own" && "own user",
    user === "namespace" && "user namespace",
    net && "network namespace",
    seccomp && "seccomp",
    "own PID, mount, IPC and UTS namespaces",
    "read-only system",
  ];
  return `bubblewrap (${bwrap}): ${parts.filter(Boolean).join(", ")}`;
}
