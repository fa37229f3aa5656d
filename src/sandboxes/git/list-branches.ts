import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Git } from "./git.ts";
import { faultIn, RepositoryError, readFailure } from "./git-errors.ts";
import { gitFolderOf } from "./local-path.ts";
import { defaultBranchesIn, headsIn } from "./remote-branches.ts";
import type { RepoAddress } from "./repo-url.ts";
import { PRELUDE } from "./script-parts.ts";

/** $1 URL. Prints what ls-remote --symref does about HEAD and the branches. */
const LIST = `${PRELUDE}list "$1" HEAD "refs/heads/*"`;

/** The branches of a repository. Their names are as the repository has them: nobody has checked them. */
export interface BranchList {
  /** Null: HEAD names none, as in a repository without a commit. */
  defaultBranch: string | null;
  names: readonly string[];
}

/**
 * Asks a repository for its branches, without a copy of it: whoever asks for many leaves nothing on the disk.
 * @throws RepositoryError; NotIsolated; what `signal` aborted with.
 */
export async function listBranches(
  options: {
    git: Git;
    dataDir: string;
    uidFor: (address: RepoAddress) => Promise<number | undefined>;
  },
  address: RepoAddress,
  signal: AbortSignal,
): Promise<BranchList> {
  const { git, dataDir, uidFor } = options;
  const local = address.kind === "local";
  const source = local ? gitFolderOf(address.url, address.display) : undefined;
  const store = await emptyFolder(dataDir);
  const where = { store, storeWritable: false, local, remote: address, source, uid: await uidFor(address) };
  const { code, out, error } = await git({ script: LIST, args: [address.url], ...where }, signal);
  if (code !== 0) throw new RepositoryError(readFailure(address, error), undefined, faultIn(error, address));
  return { defaultBranch: defaultBranchesIn(out)[0] ?? null, names: [...headsIn(out).keys()] };
}

/** Instead of a store. It may be mounted for another user. */
async function emptyFolder(dataDir: string): Promise<string> {
  const folder = join(dataDir, "git", "empty");
  await mkdir(folder, { recursive: true });
  await chmod(folder, 0o755);
  return folder;
}
