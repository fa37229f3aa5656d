import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Secret } from "../../shared/secret.ts";
import { signalGroup } from "../../shared/signal-group.ts";
import { isTransient, RepositoryError } from "./git-errors.ts";

/**
 * Runs git outside any sandbox, never through a shell, and only in repositories that no agent can reach.
 * @param options.cwd default: git's own empty home.
 * @param options.withToken give GITHUB_TOKEN to the credential helper (which answers only for the host of GITHUB_URL).
 * @returns stdout, up to 32 MiB.
 * @throws RepositoryError with the end of git's output, credentials removed; what `signal` aborted with.
 */
export type Git = (
  args: readonly string[],
  options?: { cwd?: string; withToken?: boolean; signal?: AbortSignal | undefined },
) => Promise<string>;

const TIMEOUT_MS = 10 * 60_000;
/** Between SIGTERM and SIGKILL. `retryOnLock` removes lock files that a killed git leaves behind. */
const GRACE_MS = 2_000;
const OUTPUT_LIMIT = 32 * 1024 * 1024;
const STDERR_LIMIT = 64 * 1024;
/** A constant: the token itself is only in the environment of the git processes that may need it. */
const HELPER =
  '!f() { test "$1" = get && printf "username=x-access-token\\npassword=%s\\n" "$PROMPT_BACKEND_GIT_TOKEN"; }; f';

/** Writes git's configuration and home below `dataDir`, so that git never reads those of the machine or of a user. */
export async function openGit(options: {
  dataDir: string;
  path: string;
  githubUrl: string;
  githubToken: Secret | undefined;
}): Promise<Git> {
  const { dataDir, path, githubUrl, githubToken } = options;
  const folder = join(dataDir, "git");
  const home = join(folder, "home");
  await mkdir(home, { recursive: true, mode: 0o700 });
  const configFile = join(folder, "config");
  // Written under another name and moved: another process on this DATA_DIR may be reading it.
  const draft = `${configFile}.${crypto.randomUUID()}`;
  await writeFile(draft, configOf(githubToken === undefined ? undefined : new URL(githubUrl).origin));
  await rename(draft, configFile);
  const base = {
    PATH: path,
    HOME: home,
    LANG: "C.UTF-8",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: configFile,
    GIT_TERMINAL_PROMPT: "0",
    // In addition to the checks of parseRepo: neither a redirect nor a configured rewrite may use another transport.
    GIT_ALLOW_PROTOCOL: "file:http:https",
  };

  return async (args, { cwd = home, withToken = false, signal } = {}) => {
    signal?.throwIfAborted();
    const program = Bun.which("git", { PATH: path });
    if (!program) throw new RepositoryError("git is not installed on the machine that runs the prompts.");
    const token =
      withToken && githubToken !== undefined ? { PROMPT_BACKEND_GIT_TOKEN: githubToken.reveal() } : {};
    // A process group of its own: git's helpers (git-remote-https, upload-pack) must end with it.
    const child = Bun.spawn([program, ...args], {
      cwd,
      env: { ...base, ...token },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      detached: true,
    });
    let stopped = "";
    let force: ReturnType<typeof setTimeout> | undefined;
    const stop = (reason: string) => {
      stopped ||= reason;
      // On SIGTERM git removes its lock files, here and in a repository that it pushes to.
      signalGroup(child.pid, "SIGTERM");
      force ??= setTimeout(() => signalGroup(child.pid, "SIGKILL"), GRACE_MS);
    };
    const onAbort = () => stop("it was interrupted");
    signal?.addEventListener("abort", onAbort, { once: true });
    const timer = setTimeout(() => stop(`it took longer than ${TIMEOUT_MS / 60_000} minutes`), TIMEOUT_MS);
    try {
      const [out, err] = await Promise.all([
        textOf(child.stdout, OUTPUT_LIMIT, () => stop("it printed too much")),
        textOf(child.stderr, STDERR_LIMIT, () => undefined),
        child.exited,
      ]);
      signal?.throwIfAborted();
      if (child.exitCode === 0 && stopped === "") return out;
      const message = stopped || scrub(`${err}\n${rejection(out)}`, githubToken) || `git ${args[0]} failed`;
      throw new RepositoryError(message, undefined, isTransient(message));
    } finally {
      clearTimeout(timer);
      clearTimeout(force);
      signal?.removeEventListener("abort", onAbort);
    }
  };
}

function configOf(tokenOrigin: string | undefined): string {
  const lines = [
    "[safe]\n\tdirectory = *",
    "[gc]\n\tauto = 0",
    "[maintenance]\n\tauto = false",
    "[advice]\n\tdetachedHead = false\n\tpushUpdateRejected = false",
    '[protocol "ext"]\n\tallow = never',
    // Give up on a host that stalls for a minute.
    "[http]\n\tlowSpeedLimit = 1000\n\tlowSpeedTime = 60",
  ];
  if (tokenOrigin !== undefined)
    lines.push(`[credential ${JSON.stringify(tokenOrigin)}]\n\thelper = ${JSON.stringify(HELPER)}`);
  return `${lines.join("\n")}\n`;
}

/** Reads on beyond the limit, so that the program does not block, but discards the rest. */
async function textOf(
  stream: ReadableStream<Uint8Array>,
  limit: number,
  onLimit: () => void,
): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of stream) {
    size += part.length;
    if (size <= limit) parts.push(part);
    else onLimit();
  }
  return Buffer.concat(parts).toString("utf8");
}

/** Why a branch was refused: `push --porcelain` prints it on stdout. */
function rejection(stdout: string): string {
  const line = stdout.split("\n").find((one) => one.startsWith("!\t"));
  return line?.split("\t")[2] ?? "";
}

/** The end of git's output, without credentials, prefixes and hints. */
function scrub(stderr: string, token: Secret | undefined): string {
  const text = stderr
    .split(/[\n\r]/)
    .map((line) => line.replace(/^(remote:\s*|fatal:\s*|error:\s*)+/, "").trim())
    .filter((line) => line !== "" && !line.startsWith("hint:"))
    .slice(-6)
    .join("; ")
    .replace(/\/\/[^/@\s]+@/g, "//");
  return (token ? text.replaceAll(token.reveal(), "***") : text).slice(0, 1000);
}
