import { existsSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { OperatorError } from "../shared/errors.ts";
import { examplePath } from "./git/local-path.ts";

export const EXAMPLE_BRANCH = "main";

/**
 * A small repository to try the service with, created once in DATA_DIR/example.
 * @returns its absolute path.
 * @throws OperatorError when git is missing or fails.
 */
export async function exampleRepository(options: { dataDir: string; path: string }): Promise<string> {
  const folder = examplePath(options.dataDir);
  if (existsSync(join(folder, ".git"))) return folder;
  // Created elsewhere and moved, so that a crash leaves no incomplete repository.
  const draft = `${folder}.${process.pid}`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { recursive: true });
  await writeFile(
    join(draft, "README.md"),
    "# Example\n\nA repository to try prompt-backend with. The branches of its sessions are pushed here: `git branch`.\n",
  );
  const env = {
    PATH: options.path,
    HOME: draft,
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_AUTHOR_NAME: "prompt-backend",
    GIT_AUTHOR_EMAIL: "prompt-backend@localhost",
    GIT_COMMITTER_NAME: "prompt-backend",
    GIT_COMMITTER_EMAIL: "prompt-backend@localhost",
  };
  for (const args of [
    ["init", "--quiet", `--initial-branch=${EXAMPLE_BRANCH}`],
    ["add", "README.md"],
    ["commit", "--quiet", "--message=Initial commit"],
  ]) {
    const git = Bun.which("git", { PATH: options.path });
    if (!git) throw new OperatorError("git is not installed; prompt-backend needs it.");
    const { exited, stderr } = Bun.spawn([git, ...args], {
      cwd: draft,
      env,
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    if ((await exited) !== 0)
      throw new OperatorError(
        `git ${args[0]} failed in ${draft}: ${(await new Response(stderr).text()).trim()}`,
      );
  }
  await rm(folder, { recursive: true, force: true });
  await rename(draft, folder);
  return folder;
}
