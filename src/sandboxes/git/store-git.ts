import { createHash } from "node:crypto";
import { mkdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Git } from "./git.ts";
import type { RepoAddress } from "./repo-url.ts";

/** git in the bare store of one source repository. */
export interface StoreGit {
  git: Git;
  /** The store's folder. */
  store: string;
  address: RepoAddress;
  /** Whether GITHUB_TOKEN is set. */
  hasToken: boolean;
  /**
   * Runs git in the store.
   * @param options.remote the command talks to the source repository: git gets the credentials meant for it.
   * @returns stdout. @throws RepositoryError
   */
  inStore(args: readonly string[], signal: AbortSignal, options?: { remote?: boolean }): Promise<string>;
  /** Makes the store if there is none. */
  ensure(signal: AbortSignal): Promise<void>;
  /** The commit that a ref points to, or undefined. */
  commitOf(ref: string, signal: AbortSignal): Promise<string | undefined>;
  isAncestor(older: string, newer: string, signal: AbortSignal): Promise<boolean>;
}

export function openStoreGit(options: {
  git: Git;
  dataDir: string;
  address: RepoAddress;
  hasToken: boolean;
}): StoreGit {
  const { git, dataDir, address, hasToken } = options;
  const repos = join(dataDir, "repos");
  const name = createHash("sha256").update(address.url).digest("hex").slice(0, 32);
  const store = join(repos, `${name}.git`);
  const inStore: StoreGit["inStore"] = (args, signal, { remote = false } = {}) =>
    git(args, { cwd: store, withToken: remote && address.kind === "github", signal });
  /** Git's failure means "no"; an abort does not. */
  const orUndefined = <T>(answer: Promise<T>, signal: AbortSignal): Promise<T | undefined> =>
    answer.catch(() => {
      signal.throwIfAborted();
      return undefined;
    });

  return {
    git,
    store,
    address,
    hasToken,
    inStore,
    async ensure(signal) {
      if (await stat(join(store, "HEAD")).catch(() => undefined)) return;
      // Made under another name and moved: neither another process nor a crash leaves half a store here.
      const draft = `${store}.${crypto.randomUUID()}`;
      await mkdir(repos, { recursive: true, mode: 0o700 });
      await git(["init", "--quiet", "--bare", "--template=", "--", draft], { signal });
      await rename(draft, store).catch(() => rm(draft, { recursive: true, force: true }));
    },
    commitOf: async (ref, signal) =>
      (await orUndefined(inStore(["rev-parse", "--verify", "--quiet", ref], signal), signal))?.trim(),
    isAncestor: async (older, newer, signal) =>
      (await orUndefined(inStore(["merge-base", "--is-ancestor", older, newer], signal), signal)) !==
      undefined,
  };
}
