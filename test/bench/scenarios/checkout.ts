import { mkdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDeployment, startBackend } from "../../harness/backend.ts";
import { interleave, type Scenario } from "../scenario.ts";
import { agentEnv, waitOf } from "./dispatch.ts";

const FILES = 50_000;
const COMMITS = 20_000;
const BYTES = 200 * 1024 * 1024;
const LIMIT_MS = 300_000;

/** A repository of many files, bytes and commits. Half of each file's text cannot be compressed. */
async function makeLarge(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
  await Bun.$`git init --quiet --initial-branch=main ${path}`;
  const git = Bun.spawn(["git", "-C", path, "fast-import", "--quiet"], { stdin: "pipe" });
  const size = Math.floor(BYTES / FILES);
  const noise = Buffer.from(crypto.getRandomValues(new Uint8Array(65_536))).toString("hex");
  const textOf = (n: number) => {
    const from = (n * 7919) % (noise.length - size);
    return `${n} ${noise.slice(from, from + size)}`.slice(0, size - 1).concat("\n");
  };
  const nameOf = (n: number) => `folder-${n % 500}/file-${n}.txt`;
  const file = (n: number, text: string) => `M 100644 inline ${nameOf(n)}\ndata ${text.length}\n${text}\n`;
  for (let commit = 0; commit < COMMITS; commit += 1) {
    git.stdin.write(
      `commit refs/heads/main\ncommitter Bench <bench@localhost> ${1_700_000_000 + commit} +0000\ndata 6\nCommit\n`,
    );
    if (commit === 0) for (let n = 0; n < FILES; n += 1) git.stdin.write(file(n, textOf(n)));
    // Each changes one small file, as most commits do.
    else git.stdin.write(file(FILES + (commit % 500), `${commit}\n`));
    git.stdin.write("\n");
    if (commit % 100 === 0) await git.stdin.flush();
  }
  await git.stdin.end();
  if ((await git.exited) !== 0) throw new Error("git fast-import failed");
}

export const scenario: Scenario = {
  name: "checkout",
  about:
    "From the reply until the agent starts in a repository of 200 MB, 50,000 files and 20,000 commits, against git worktree add of it",
  async run(bench) {
    process.env["TEST_BINARY"] = bench.binary;
    await Promise.all([bench.postgres(), bench.redis()]);
    await using deployment = await createDeployment("redis");
    await using backend = await startBackend(deployment, { env: agentEnv });
    const path = join(tmpdir(), `pb-large-${crypto.randomUUID()}`);
    try {
      bench.say("making the repository");
      await makeLarge(path);
      const first = await waitOf(backend, path, LIMIT_MS);
      bench.say(`the first prompt, which fetches: ${first.toFixed(0)} ms`);
      const samples = await interleave(bench.rounds, {
        ours: () => waitOf(backend, path, LIMIT_MS),
        // It stays until the end: for minutes, ext4 passes by each inode that was freed, one by one, which made it 20 times slower.
        async worktree() {
          const folder = join(bench.folder, crypto.randomUUID());
          const began = performance.now();
          await Bun.$`git -C ${path} worktree add --quiet --detach ${folder} main`.quiet();
          return performance.now() - began;
        },
      });
      return [
        {
          measure: "reply → agent started, 200 MB, 50,000 files, 20,000 commits",
          unit: "ms",
          samples: samples.ours,
          reference: { name: "git worktree add", samples: samples.worktree },
          goal: { atMost: 1.3 },
          details: { "the first prompt, which fetches, ms": first },
        },
      ];
    } finally {
      await rm(path, { recursive: true, force: true });
    }
  },
};
