import { cp, mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import { CANARY } from "./attack.ts";

const TENANT_LIMIT_MS = 30 * 60_000;

/** Makes bare repositories with one commit, below `folder`. @returns a function that makes one and returns its path. */
export async function makeOrigins(options: { folder: string; path: string }): Promise<() => Promise<string>> {
  const { folder, path } = options;
  const [first, work] = [join(folder, "first.git"), join(folder, "work")];
  await mkdir(folder, { mode: 0o755 });
  await mkdir(work);
  await writeFile(join(work, "README.md"), "# Sandbox check\n");
  const identity = {
    GIT_AUTHOR_NAME: "check",
    GIT_AUTHOR_EMAIL: "check@localhost",
    GIT_COMMITTER_NAME: "check",
    GIT_COMMITTER_EMAIL: "check@localhost",
  };
  const env = { PATH: path, HOME: work, GIT_CONFIG_NOSYSTEM: "1", ...identity };
  for (const args of [
    ["init", "--quiet", "--initial-branch=main"],
    ["add", "README.md"],
    ["commit", "--quiet", "--message=First"],
    ["clone", "--quiet", "--bare", ".", first],
  ]) {
    const child = Bun.spawn(["git", ...args], { cwd: work, env, stdio: ["ignore", "ignore", "pipe"] });
    if ((await child.exited) !== 0) throw new Error(`git ${args[0]}: ${(await child.stderr.text()).trim()}`);
  }
  return async () => {
    const origin = join(folder, `${crypto.randomUUID()}.git`);
    await cp(first, origin, { recursive: true });
    return origin;
  };
}

/** Another tenant: a sandbox in which a program runs that has secrets in a file, a commit and its environment. */
export async function startTenant(sandbox: Sandbox): Promise<{ folder: string; stop(): Promise<void> }> {
  const script =
    'echo "$SECRET" > secret; git add secret; git -c user.name=x -c user.email=x@localhost commit -qm x; echo up; sleep 1800';
  const env = { SECRET: `${CANARY}${crypto.randomUUID()}` };
  const child = sandbox.start({ argv: ["sh", "-c", script], env, stdin: "", readable: [] }, TENANT_LIMIT_MS);
  for await (const { line } of child.lines(0)) if (line === "up") break;
  return { folder: dirname(sandbox.hostPaths.checkout), stop: () => child.stop(0) };
}
