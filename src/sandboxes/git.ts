import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { RepositoryError } from "./sandbox.ts";

export interface Git {
  /**
   * Runs git outside any sandbox, never through a shell. Only in repositories that no agent could touch.
   * @param options.withToken show GITHUB_TOKEN to the credential helper (which answers for GITHUB_URL's host only).
   * @throws RepositoryError with git's own last words, credentials removed.
   */
  (
    args: readonly string[],
    options?: { cwd?: string; withToken?: boolean; signal?: AbortSignal | undefined },
  ): Promise<string>;
}

const TIMEOUT_MS = 10 * 60_000;
/** The helper's text is a constant; the token is in the environment of the git processes that may need it. */
const HELPER =
  '!f() { test "$1" = get && printf "username=x-access-token\\npassword=%s\\n" "$PROMPT_BACKEND_GIT_TOKEN"; }; f';

/** Prepares git's own configuration and home below `dataDir`, so that nothing of the machine's reaches it. */
export async function openGit(options: {
  dataDir: string;
  path: string;
  githubUrl: string;
  githubToken: string | undefined;
}): Promise<Git> {
  const { dataDir, path, githubUrl, githubToken } = options;
  const home = join(dataDir, "git");
  await mkdir(home, { recursive: true, mode: 0o700 });
  const configFile = join(home, "config");
  const lines = [
    "[safe]",
    "\tdirectory = *",
    "[gc]",
    "\tauto = 0",
    "[maintenance]",
    "\tauto = false",
    "[advice]",
    "\tdetachedHead = false",
    '[protocol "ext"]',
    "\tallow = never",
    "[core]",
    "\thooksPath = /dev/null",
    "[init]",
    "\tdefaultBranch = main",
    `[credential ${JSON.stringify(githubUrl)}]`,
    `\thelper = ${JSON.stringify(HELPER)}`,
  ];
  await writeFile(configFile, `${lines.join("\n")}\n`);
  const base = {
    PATH: path,
    HOME: home,
    LANG: "C.UTF-8",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: configFile,
    GIT_TERMINAL_PROMPT: "0",
    GIT_ASKPASS: "true",
  };
  const program = Bun.which("git", { PATH: path }) ?? "git";

  return async (args, { cwd = home, withToken = false, signal } = {}) => {
    const env =
      withToken && githubToken !== undefined ? { ...base, PROMPT_BACKEND_GIT_TOKEN: githubToken } : base;
    const limit = AbortSignal.timeout(TIMEOUT_MS);
    const child = Bun.spawn([program, ...args], {
      cwd,
      env,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
    const [out, err] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    signal?.throwIfAborted();
    if (child.exitCode === 0) return out;
    throw new RepositoryError(scrub(err, githubToken) || `git ${args[0]} failed`);
  };
}

/** git's last words without credentials, its prefix noise and its hints. */
function scrub(stderr: string, token: string | undefined): string {
  const text = stderr
    .split("\n")
    .map((line) => line.replace(/^(remote: |fatal: |error: )+/, "").trim())
    .filter((line) => line !== "" && !line.startsWith("hint:"))
    .slice(-4)
    .join("; ")
    .replace(/\/\/[^/@\s]+@/g, "//");
  return token ? text.replaceAll(token, "***") : text;
}
