import { LRUCache } from "lru-cache";
import PQueue from "p-queue";
import { recordAudit } from "../db/audit-log.ts";
import type { Orm } from "../db/client.ts";
import { asReply } from "../review/branches.ts";
import { parseRepo, type RepoRules } from "../sandboxes/git/repo-url.ts";
import type { BranchList, SandboxProvider } from "../sandboxes/sandbox.ts";
import { AppError } from "../shared/errors.ts";
import { createKeyedMutex } from "../shared/keyed-mutex.ts";
import { isBranch } from "./list.ts";

export interface RepositoryBranches {
  defaultBranch: string | null;
  /** In the order of their names, up to 1,000. */
  branches: readonly string[];
  /** There are more. */
  truncated: boolean;
}

const MAX_BRANCHES = 1_000;
/** How long what a host has said is repeated. */
const KEPT_MS = 30_000;
const KEPT_REPOSITORIES = 100;
const TIMEOUT_MS = 10_000;
/** At once, one for each user: each takes as much memory as a run of git may. */
const LISTINGS = 4;
const NOTED_USES = 2_000;

/**
 * Asks repositories for their branches, by the rules and with the credential with which a prompt's run would read them: a user
 * learns nothing that a prompt could not tell them.
 * @param options.timeoutMs of one request, its waiting included.
 */
export function openBranchLists(options: {
  orm: Orm;
  rules: RepoRules;
  sandboxes: Pick<SandboxProvider, "branchesOf">;
  timeoutMs?: number;
}) {
  const { orm, rules, sandboxes, timeoutMs = TIMEOUT_MS } = options;
  const closing = new AbortController();
  const known = new LRUCache<string, RepositoryBranches>({ max: KEPT_REPOSITORIES, ttl: KEPT_MS });
  const listing = new Map<string, Promise<RepositoryBranches>>();
  const noted = new LRUCache<string, true>({ max: NOTED_USES });
  /** A host that is slow on purpose must not keep others waiting. */
  const ofUser = createKeyedMutex();
  const listings = new PQueue({ concurrency: LISTINGS });

  /** Once a user and repository: a page asks while somebody types. */
  const noteSecret = async (userId: string, repo: string, secret: string, host: string) => {
    const use = JSON.stringify([userId, repo, secret]);
    if (noted.has(use)) return;
    const detail = { host, repo };
    await recordAudit(orm, { actor: userId, action: "secret.use", target: `secret:${secret}`, detail });
    noted.set(use, true);
  };

  const list = async (userId: string, repo: string, key: string): Promise<RepositoryBranches> => {
    const late = AbortSignal.timeout(timeoutMs);
    const signal = AbortSignal.any([closing.signal, late]);
    const useSecret = (secret: string, host: string) => noteSecret(userId, key, secret, host);
    const ask = () => sandboxes.branchesOf({ repo, useSecret }, signal);
    try {
      const found = await asReply(() => ofUser(userId, () => listings.add(ask, { signal }), signal));
      const branches = namesOf(found);
      known.set(key, branches);
      return branches;
    } catch (error) {
      if (!late.aborted) throw error;
      throw new AppError("repository_unavailable", `The host of ${key} has not answered in time; ask again.`);
    }
  };

  return {
    /** @throws AppError `invalid_repo`, `repository_unreadable`, `repository_unavailable`. */
    async find(userId: string, repo: string): Promise<RepositoryBranches> {
      const { display: key } = parseRepo(repo, rules);
      const found = known.get(key);
      if (found) return found;
      const running = listing.get(key) ?? list(userId, repo, key).finally(() => listing.delete(key));
      listing.set(key, running);
      return running;
    },

    async close() {
      closing.abort();
      await Promise.allSettled(listing.values());
    },
  };
}

/** Only what a session may name as its target branch. */
function namesOf({ defaultBranch, names }: BranchList): RepositoryBranches {
  const usable = names.filter(isBranch);
  const first = usable.includes(defaultBranch ?? "") ? defaultBranch : null;
  const branches = usable.slice(0, MAX_BRANCHES);
  return { defaultBranch: first, branches, truncated: usable.length > branches.length };
}
