import { statSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Uids } from "../isolation/uids.ts";
import { gitFolderOf } from "./local-path.ts";
import type { RepoAddress } from "./repo-url.ts";

/** Holds the host user of all stores of remote repositories, as a sandbox holds its own. */
export const GIT_USER = "00000000-0000-4000-8000-000000000000";

/**
 * Whom git runs as where programs have host users of their own: on a repository of this machine its owner, since a push
 * writes there; else one user for git.
 * @param options.uids undefined: programs run as the service's own user.
 */
export function gitUser(options: { dataDir: string; uids: () => Uids | undefined }) {
  const { dataDir } = options;
  const folder = join(dataDir, "git");
  return async (address: RepoAddress): Promise<number | undefined> => {
    const uids = options.uids();
    if (!uids) return undefined;
    if (address.kind === "local")
      return statSync(join(gitFolderOf(address.url, address.display), "objects")).uid;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return uids.claim(GIT_USER, folder);
  };
}
