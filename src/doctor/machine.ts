import { accessSync, constants, existsSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import { createAgentCatalog } from "../agents/catalog.ts";
import { chooseAgent } from "../agents/choose.ts";
import { findProgram } from "../agents/find-program.ts";
import type { Config } from "../config/config.ts";
import { openCgroups } from "../sandboxes/process/cgroup.ts";
import { MIB } from "../shared/units.ts";
import { type Found, fail, ok, warn } from "./finding.ts";

const ANSWER_MS = 10_000;
/** The first git with `fetch --no-write-fetch-head`. */
const GIT = { major: 2, minor: 29 };
const GNU_TOOLS = [
  ["tar", "tar"],
  ["find", "findutils"],
  ["sort", "coreutils"],
] as const;
const INSTALL_GIT = "install git 2.29 or newer (Debian: apt-get install git)";

/** The first line of a program's --version; undefined if it fails or does not exit. */
async function versionOf(program: string, path: string): Promise<string | undefined> {
  const child = Bun.spawn([program, "--version"], {
    env: { PATH: path, HOME: tmpdir() },
    cwd: tmpdir(),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
    timeout: ANSWER_MS,
    killSignal: "SIGKILL",
  });
  const [text, code] = await Promise.all([child.stdout.text(), child.exited]);
  return code === 0 ? text.trim().split("\n")[0] : undefined;
}

export async function gitFound({ path }: Config): Promise<Found> {
  const program = findProgram("git", path);
  if (!program) return fail("git is not installed", INSTALL_GIT);
  const version = await versionOf(program.path, path);
  const [, major, minor] = /(\d+)\.(\d+)/.exec(version ?? "") ?? [];
  if (version === undefined || major === undefined) return fail(`${program.path} does not work`, INSTALL_GIT);
  const old = Number(major) < GIT.major || (Number(major) === GIT.major && Number(minor) < GIT.minor);
  return old ? fail(`${version} is too old`, INSTALL_GIT) : ok(version);
}

/** It is needed only by those repositories that use it. */
export async function lfsFound({ path }: Config): Promise<Found> {
  const program = findProgram("git-lfs", path);
  if (!program)
    return ok(
      "not installed: files of Git LFS are pointers in checkouts (to have them, Debian: apt-get install git-lfs)",
    );
  const version = await versionOf(program.path, path);
  return version
    ? ok(version)
    : fail(
        `${program.path} does not work`,
        "install it again, or remove it: files of Git LFS are pointers then",
      );
}

/** What keeping prepared checkouts needs. Without it setup commands run each time. */
export async function preparedFound({ path, preparedBytes }: Config): Promise<Found> {
  if (preparedBytes === 0) return ok("not kept: setup commands always run (PREPARED_MAX_MB=0)");
  const missing: string[] = [];
  for (const [name, suite] of GNU_TOOLS) {
    const program = findProgram(name, path);
    const version = program && (await versionOf(program.path, path).catch(() => undefined));
    if (!version?.includes(`GNU ${suite}`)) missing.push(`GNU ${name}`);
  }
  return missing.length === 0
    ? ok(`kept, up to ${preparedBytes / MIB} MB (PREPARED_MAX_MB)`)
    : warn(
        `setup commands run in each new checkout: there is no ${missing.join(", no ")}`,
        "install tar, findutils and coreutils of GNU, or set PREPARED_MAX_MB=0",
      );
}

/** Which agents this machine has for prompts that name one, if it runs prompts. */
export async function agentsFound(config: Config): Promise<Found> {
  const agents = createAgentCatalog({ config });
  await agents.findVersions(AbortSignal.timeout(ANSWER_MS));
  const listed = agents.list();
  const here = listed.flatMap(({ available, name, version }) =>
    available ? [version === null ? name : `${name} ${version}`] : [],
  );
  // What to install for each of them is long.
  const others = listed.flatMap(({ name, reason }) => (reason === null ? [] : [`not ${name}: ${reason}`]));
  return ok([`prompts may name ${here.join(", ") || "none"}`, ...others].join("\n"));
}

export async function agentFound(config: Config): Promise<Found> {
  const { agent, why, missing } = chooseAgent({ config });
  const CLAUDE = "install Claude Code (npm install -g @anthropic-ai/claude-code) and set ANTHROPIC_API_KEY";
  if (missing) return fail(missing, config.agent === "command" ? "check AGENT_COMMAND" : CLAUDE);
  if (agent.name === "demo" && config.agent === undefined) return warn(why, CLAUDE);
  if (agent.name !== "claude") return ok(why);
  const program = findProgram(config.claudePath ?? "claude", config.path);
  const version = program && (await versionOf(program.path, config.path));
  return version ? ok(`${why} Its version: ${version}.`) : fail(`${why} It does not start.`, CLAUDE);
}

/** What the kernel limits for each run; the rest is only watched, which a fast bomb may outrun. */
export async function limitsFound({ runResources }: Config): Promise<Found> {
  const cgroups = await openCgroups({ host: "doctor", mayMove: false });
  const { memory = false, processes = false, cpu = false } = cgroups?.capabilities ?? {};
  const missing = Object.entries({ memory, processes, processor: cpu }).filter(([, works]) => !works);
  const what = `${Math.round(runResources.memoryBytes / MIB)} MB and ${runResources.maxProcesses} processes a run`;
  if (missing.length === 0) return ok(`control groups limit memory, processes and processor: ${what}`);
  return warn(
    `no control group for ${missing.map(([name]) => name).join(", ")}: ${what} are watched four times a second instead`,
    "start the service as root, or by systemd with Delegate=yes and DelegateSubgroup=service; in a container, with a writable /sys/fs/cgroup",
  );
}

export async function diskFound({ dataDir, runLimits }: Config): Promise<Found> {
  let folder = dataDir;
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder);
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
  } catch {
    return fail(
      `this user cannot write to ${folder}`,
      "make the user that runs the service its owner, or set DATA_DIR",
    );
  }
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  const what = `${(free / 1024 ** 3).toFixed(1)} GiB free for ${dataDir}`;
  const { minFreeBytes } = runLimits;
  const fix = "free some space, move DATA_DIR to a larger disk, or lower MIN_FREE_DISK_MB";
  if (free < minFreeBytes) return fail(`${what}, less than MIN_FREE_DISK_MB: no run can start`, fix);
  return free < minFreeBytes * 2 ? warn(`${what}, less than twice MIN_FREE_DISK_MB`, fix) : ok(what);
}
