import { lstatSync } from "node:fs";
import { chmod, mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../../config/config.ts";
import type { CredentialFor } from "../../forges/git-credentials.ts";
import { MIB } from "../../shared/units.ts";
import { STORE_INSIDE } from "../isolation/inside.ts";
import { GATEWAY_PORT, type Mount } from "../isolation/isolation.ts";
import type { MachineIsolation } from "../isolation/status.ts";
import type { Cgroups } from "../process/cgroup.ts";
import { ownedGroups } from "../process/owned-groups.ts";
import { credentialFailure, isUnauthorised, RepositoryError } from "./git-errors.ts";
import { openWayOut } from "./git-network.ts";
import { rejection, scrub } from "./git-output.ts";
import { credentialSettings, gitEnvironment, lfsSettings } from "./git-settings.ts";
import type { RepoAddress } from "./repo-url.ts";
import { type Input, type Output, runBounded } from "./run-bounded.ts";
import { OTHER_SIDES } from "./script-parts.ts";

/** One run of git: a script of scripts.ts, and all that it gets. */
export interface GitProgram {
  script: string;
  args: readonly string[];
  /** Our bare repository, a folder. */
  store: string;
  storeWritable: boolean;
  /** Whether it holds a repository of this machine, which the operator has listed: git on it needs no isolation. */
  local: boolean;
  /** The folder of a new checkout. */
  checkout?: string;
  /** Set: it talks to this repository, with the credential meant for it. */
  remote?: RepoAddress;
  /** Whether it may change the `remote`. */
  push?: boolean;
  /** It runs git-lfs, and talks also to where the `remote` keeps those objects. */
  lfs?: boolean;
  /** The git folder of a `remote` on this machine. */
  source?: string | undefined;
  /** The host user that owns what is written, where programs have users of their own. */
  uid?: number | undefined;
  /** Taking too long is the repository's fault: another try would take as long. */
  timeoutIsFinal?: boolean;
  stdin?: Input;
  stdout?: Output;
}

export interface GitResult {
  /** Null: a signal. */
  code: number | null;
  /** Up to 32 MiB. */
  out: string;
  /** The end of what it printed about errors, without credentials. */
  error: string;
}

/**
 * Runs git on repositories that the service did not make, in a sandbox of its own: no network but its remote, no
 * credentials but that remote's, no hooks, filters or programs of a repository, bounded in time, memory and output.
 * Where this machine cannot isolate, it runs with the same settings outside on the operator's own repositories.
 * @throws RepositoryError when it did not run to its end; NotIsolated; what `signal` aborted with.
 */
export type Git = (program: GitProgram, signal: AbortSignal) => Promise<GitResult>;

/** Where a sandboxed git finds its folders. */
const INSIDE = { STORE: STORE_INSIDE, SOURCE: "/git/source", CHECKOUT: "/workspace" } as const;
const CONFIG_INSIDE = "/git/config";
/** Other users' repositories are worked on at exactly these places; outside a sandbox the environment names the folder. */
const CONFIG = `[safe]\n\tdirectory = ${INSIDE.STORE}\n\tdirectory = ${INSIDE.SOURCE}\n`;
const TIMEOUT_MS = 10 * 60_000;
/** Of all processes of one program together, where there are control groups. */
const RESOURCES = { memoryBytes: 1_536 * MIB, maxProcesses: 64 } as const;
/** Address space of one process: it maps packs by 256 MiB, and large files are streamed. */
const MEMORY_KB = RESOURCES.memoryBytes / 1024;

/** Writes git's configuration and home below DATA_DIR, so that git never reads those of the machine or of a user. */
export async function openGit(options: {
  config: Pick<Config, "dataDir" | "path" | "privateGitHosts" | "repoLimits" | "runResources">;
  isolation: Pick<MachineIsolation, "current" | "require">;
  /** Of this machine. Undefined: there are none. */
  cgroups: Cgroups | undefined;
  credentialFor: CredentialFor;
}): Promise<Git> {
  const { config, credentialFor } = options;
  const { dataDir, path, privateGitHosts = [], repoLimits } = config;
  const groups = options.cgroups && ownedGroups(options.cgroups, { ...config.runResources, ...RESOURCES });
  const folder = join(dataDir, "git");
  const home = join(folder, "home");
  await mkdir(home, { recursive: true, mode: 0o700 });
  const configFile = join(folder, "config");
  // Written under another name and moved: another process on this DATA_DIR may be reading it.
  const draft = `${configFile}.${crypto.randomUUID()}`;
  await writeFile(draft, CONFIG);
  // It holds no secret, and is read by other users through a mount.
  await chmod(draft, 0o644);
  await rename(draft, configFile);

  return async (program, signal) => {
    const result = await run(program, signal);
    const again = result.code !== 0 && isUnauthorised(result.error) && isByApp(program);
    return again ? run(program, signal) : result;
  };

  async function run(program: GitProgram, signal: AbortSignal): Promise<GitResult> {
    signal.throwIfAborted();
    if (!program.local) await options.isolation.require();
    const isolation = options.isolation.current;
    const closedNetwork = isolation?.closedNetwork === true;
    const git = Bun.which("git", { PATH: path });
    if (!git) throw new RepositoryError("git is not installed on the machine that runs the prompts.");
    const { script, args, store, storeWritable, checkout, remote, source, uid } = program;
    const { push = false, lfs = false } = program;
    const mounts: Mount[] = [
      { source: store, target: INSIDE.STORE, writable: storeWritable },
      { source: configFile, target: CONFIG_INSIDE, writable: false },
      ...(source ? sourceMounts(source, push) : []),
      ...(checkout ? [{ source: checkout, target: INSIDE.CHECKOUT, writable: true }] : []),
    ];
    const folders = {
      STORE: isolation ? INSIDE.STORE : store,
      ...(source && { SOURCE: isolation ? INSIDE.SOURCE : source }),
      ...(checkout && { CHECKOUT: isolation ? INSIDE.CHECKOUT : checkout }),
    };
    await using wayOut =
      remote && remote.kind !== "local"
        ? await openWayOut({ address: remote, folder, privateGitHosts, isolated: closedNetwork, lfs })
        : undefined;
    const argv = ["/bin/sh", "-c", script, "git", ...args] as const;
    const wrapped = isolation?.wrap({
      ...{ argv, mounts, cwd: "/", gateway: wayOut?.folder, uid },
      hostNetwork: wayOut !== undefined && !closedNetwork,
    });
    const hosted = remote?.hosted;
    const credential =
      hosted && (await credentialFor(hosted, push ? "write" : "read", signal).catch(credentialFailure));
    const env = {
      ...gitEnvironment({
        "safe.directory": folders.SOURCE ?? folders.STORE,
        ...(wayOut && { "http.proxy": `socks5h://127.0.0.1:${wayOut.port ?? GATEWAY_PORT}` }),
        ...(credential && credentialSettings(hosted.host.url)),
        ...(lfs && remote && lfsSettings(remote.url, credential !== undefined)),
      }),
      ...OTHER_SIDES,
      ...folders,
      // Where the sandbox of the checkout has the same folder at the same place.
      ...(isolation && checkout && { BORROW: "yes" }),
      PATH: path,
      HOME: isolation ? "/var/tmp" : home,
      GIT_CONFIG_GLOBAL: isolation ? CONFIG_INSIDE : configFile,
      FILE_BLOCKS: `${Math.ceil(repoLimits.maxBytes / 512)}`,
      MEMORY_KB: `${MEMORY_KB}`,
      MAX_FILES: `${repoLimits.maxFiles}`,
      ...(credential && {
        PROMPT_BACKEND_GIT_USER: credential.username,
        PROMPT_BACKEND_GIT_TOKEN: credential.password.reveal(),
      }),
    };
    const { code, out, err } = await runBounded(
      {
        argv: wrapped ?? argv,
        cwd: isolation ? "/" : home,
        env,
        stdin: program.stdin,
        stdout: program.stdout,
        filter: isolation?.filter,
        groups,
        timeout: {
          ms: TIMEOUT_MS,
          fault: program.timeoutIsFinal ? "request" : wayOut ? "git_host" : "machine",
        },
      },
      signal,
    );
    const refused = wayOut?.refused();
    // What git says of it would tell which ports are open.
    if (refused) throw refused;
    const outside = err.replaceAll(INSIDE.STORE, store).replaceAll(INSIDE.SOURCE, remote?.display ?? "");
    return { code, out, error: scrub(`${outside}\n${rejection(out)}`, credential?.password) };
  }
}

/**
 * An app's token may expire or be revoked while git uses it, and a new one is not known to all of GitHub's servers at once:
 * then another one is made.
 */
const isByApp = ({ remote }: GitProgram): boolean => remote?.hosted?.host.credential?.kind === "app";

/**
 * A repository on this machine: even a git that was taken over cannot replace its hooks or its configuration, because only
 * what a push writes is writable.
 */
function sourceMounts(folder: string, writable: boolean): Mount[] {
  const whole = { source: folder, target: INSIDE.SOURCE, writable: false };
  // A log is written where there is one: somebody has checked the branch out.
  const [logs = [], lfs = []] = ["logs", "lfs"].map((name) =>
    lstatSync(join(folder, name), { throwIfNoEntry: false })?.isDirectory() ? [name] : [],
  );
  const parts = ["objects", "refs", ...logs, ...lfs].map((name) => ({
    source: join(folder, name),
    target: `${INSIDE.SOURCE}/${name}`,
    writable: true,
  }));
  return writable ? [whole, ...parts] : [whole];
}
