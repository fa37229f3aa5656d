import { join } from "node:path";
import { makeRepository, type TestRepository } from "../../harness/repository.ts";

/** Of the tests' repositories, whose histories are larger, and whose checkouts are not. */
export const LIMITS = { REPO_MAX_MB: "2" };
const NOISE_BYTES = 5 * 1024 ** 2;

/** Each commit is a second after the one before. */
let seconds = 1_700_000_000;

/** Adds commits to a branch, without a checkout. @param changes of each, as git fast-import reads them. */
async function commit(repo: TestRepository, branch: string, changes: readonly Uint8Array[]): Promise<void> {
  const file = join(repo.path, ".git", "commits");
  const parts = changes.flatMap((change, index) => {
    const from = index === 0 ? `from refs/heads/${branch}^0\n` : "";
    const head = `commit refs/heads/${branch}\ncommitter Test <test@localhost> ${++seconds} +0000\ndata 5\nGrow\n\n${from}`;
    return [Buffer.from(head), change];
  });
  await Bun.write(file, Buffer.concat(parts));
  await Bun.$`git -C ${repo.path} fast-import --quiet < ${file}`.quiet();
}

const written = (path: string, content: Uint8Array) =>
  Buffer.concat([
    Buffer.from(`M 100644 inline ${path}\ndata ${content.length}\n`),
    content,
    Buffer.from("\n"),
  ]);

/** Adds commits of one line each. */
export const grow = (repo: TestRepository, commits: number, branch = "main"): Promise<void> =>
  commit(
    repo,
    branch,
    Array.from({ length: commits }, () =>
      written(`grown-on-${branch.replaceAll("/", "-")}`, Buffer.from(`${crypto.randomUUID()}\n`)),
    ),
  );

/** Adds a file that is larger than the limit, and removes it. */
export function swell(repo: TestRepository, branch = "main"): Promise<void> {
  return commit(repo, branch, [written("noise", noiseOf(NOISE_BYTES)), Buffer.from("D noise\n\n")]);
}

/** Bytes that cannot be compressed. */
export function noiseOf(bytes: number): Uint8Array {
  const noise = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; at += 65_536) crypto.getRandomValues(noise.subarray(at, at + 65_536));
  return noise;
}

/** @param commits of the target branch since its history is small. */
export async function bigRepository(commits: number): Promise<TestRepository> {
  const repo = await makeRepository();
  await swell(repo);
  await grow(repo, commits);
  return repo;
}
