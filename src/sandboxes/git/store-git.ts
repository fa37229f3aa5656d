import { createHash } from "node:crypto";
import { chmodSync, chownSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { giveTreeTo } from "../isolation/ownership.ts";
import type { Git, GitProgram, GitResult } from "./git.ts";
import { faultIn, RepositoryError } from "./git-errors.ts";
import { gitFolderOf } from "./local-path.ts";
import type { RepoAddress } from "./repo-url.ts";
import type { Input } from "./run-bounded.ts";

/** git in the bare store of one source repository. */
export interface StoreGit {
  /** The store's folder. */
  store: string;
  address: RepoAddress;
  /** Makes the store's folder. @returns the host user of the store; undefined: the service's own. */
  ready(): Promise<number | undefined>;
  /** Runs a script that does not talk to the source repository. */
  inStore(
    script: string,
    args: readonly string[],
    signal: AbortSignal,
    more?: Pick<GitProgram, "stdin" | "stdout" | "timeoutIsFinal"> & { readOnly?: boolean },
  ): Promise<GitResult>;
  /** Runs a script that talks to the source repository, in which it may write only for a push. */
  withSource(
    script: string,
    args: readonly string[],
    signal: AbortSignal,
    options?: { push?: boolean; lfs?: boolean; stdin?: Input },
  ): Promise<GitResult>;
}

/**
 * @param options.uidFor the host user of a store, and of git on its source; undefined: the service's own.
 * @param options.holds what a repository is to the sessions that have a part of this store: what they work on, or a submodule.
 */
export function openStoreGit(options: {
  git: Git;
  dataDir: string;
  path: string;
  address: RepoAddress;
  uidFor: (address: RepoAddress) => Promise<number | undefined>;
  holds?: "work" | "submodules";
}): StoreGit {
  const { git, dataDir, path, address, uidFor, holds = "work" } = options;
  const store = storeFolder(dataDir, holds === "work" ? address.url : `${holds} ${address.url}`);
  const local = address.kind === "local";
  const ready = async () => {
    const uid = await uidFor(address);
    await makeStore(store, uid, path);
    return uid;
  };
  return {
    store,
    address,
    ready,
    async inStore(script, args, signal, { readOnly = false, ...more } = {}) {
      const uid = await ready();
      return git({ script, args, store, storeWritable: !readOnly, local, uid, ...more }, signal);
    },
    async withSource(script, args, signal, { push = false, ...more } = {}) {
      // Checked again by gitFolderOf: what is there may have been replaced since the session was created.
      const source = local ? gitFolderOf(address.url, address.display) : undefined;
      const uid = await ready();
      const remote = { remote: address, push, source, ...more };
      return git({ script, args, store, storeWritable: true, local, ...remote, uid }, signal);
    },
  };
}

/** @returns stdout. @throws RepositoryError with git's error. */
export function succeeded({ code, out, error }: GitResult): string {
  if (code === 0) return out;
  const message = error || (code === null ? "git was killed" : `git ended with ${code}`);
  throw new RepositoryError(message, undefined, code === null ? "machine" : faultIn(message));
}

const storeFolder = (dataDir: string, name: string) =>
  join(dataDir, "repos", `${createHash("sha256").update(name).digest("hex").slice(0, 32)}.git`);

/**
 * The store's folder, for its user; git makes the repository in it. DATA_DIR keeps others away from it, so that it may be
 * readable to the users of sandboxes, who read it through a mount.
 */
async function makeStore(store: string, uid: number | undefined, path: string): Promise<void> {
  const found = statSync(store, { throwIfNoEntry: false });
  if (!found) {
    mkdirSync(store, { recursive: true, mode: 0o700 });
    if (uid !== undefined) chownSync(store, uid, uid);
  } else if (uid !== undefined && found.uid !== uid) await giveTreeTo(uid, store, path);
  // Always: a process that was killed may have made it and come no further.
  chmodSync(store, 0o755);
}
