import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

export interface TestRepository {
  /** Absolute path, which is also the `repo` of a session in local mode. */
  path: string;
  /** Runs git in the repository. @returns stdout. @throws Error with stderr. */
  git(...args: string[]): Promise<string>;
  /** Names of all branches, sorted. */
  branches(): Promise<string[]>;
  remove(): Promise<void>;
}

/** Creates a git repository in a temporary folder, with one commit on one branch. @param options.empty without the commit. */
export async function makeRepository(
  options: { files?: Record<string, string>; branch?: string; empty?: boolean } = {},
): Promise<TestRepository> {
  const { files = { "README.md": "# Test\n" }, branch = "main", empty = false } = options;
  const path = await mkdtemp(join(tmpdir(), "pb-repo-"));
  const identity = { NAME: "Test", EMAIL: "test@localhost" };
  const env = {
    PATH: process.env["PATH"] ?? "",
    HOME: path,
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: "/dev/null",
    ...Object.fromEntries(
      Object.entries(identity).flatMap(([key, value]) => [
        [`GIT_AUTHOR_${key}`, value],
        [`GIT_COMMITTER_${key}`, value],
      ]),
    ),
  };
  const git = async (...args: string[]) => {
    const child = Bun.spawn(["git", ...args], { cwd: path, env, stdin: "ignore", stderr: "pipe" });
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    if (code !== 0) throw new Error(`git ${args.join(" ")}: ${err.trim()}`);
    return out;
  };
  await git("init", "--quiet", `--initial-branch=${branch}`);
  if (!empty) {
    for (const [name, content] of Object.entries(files)) {
      await mkdir(dirname(join(path, name)), { recursive: true });
      await Bun.write(join(path, name), content);
    }
    await git("add", "--all");
    await git("commit", "--quiet", "--allow-empty", "--message=Begin");
  }
  return {
    path,
    git,
    branches: async () =>
      (await git("for-each-ref", "--format=%(refname:short)", "refs/heads"))
        .split("\n")
        .filter(Boolean)
        .sort(),
    remove: () => rm(path, { recursive: true, force: true }),
  };
}
