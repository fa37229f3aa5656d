/** What the stand-in for GitHub holds. Tests change it at will. */
export interface StandInRepository {
  id: number;
  /** owner/name */
  path: string;
  private: boolean;
  defaultBranch: string;
  archived: boolean;
  pushedAt: string;
  /** Users who may read it alone. */
  readers: readonly string[];
  /** Commits by branch. */
  branches: Map<string, string>;
  /** Whether it may have drafts: private repositories of free plans may not. */
  drafts: boolean;
  mergeMethods: readonly string[];
  collaborators: readonly string[];
  /** Slugs of its owner's teams with access. */
  teams: readonly string[];
  pulls: StandInPull[];
  checkRuns: {
    commit: string;
    name: string;
    status: string;
    conclusion: string | null;
    url: string | null;
  }[];
  statuses: { commit: string; context: string; state: string; url: string | null }[];
}

export interface StandInPull {
  number: number;
  title: string;
  body: string | null;
  head: string;
  base: string;
  /** The commit at its head. */
  commit: string;
  draft: boolean;
  state: "open" | "closed";
  mergedAt: string | null;
  mergeable: boolean | null;
  author: string;
  labels: string[];
  /** Who has been asked. */
  reviewers: string[];
  teams: string[];
  reviews: { user: string | null; state: string; at?: string }[];
}

/** A token, of a user or of an installation of an app. */
export interface StandInToken {
  value: string;
  login: string;
  /** Undefined: all that its user may see. */
  repositories: readonly string[] | undefined;
  /** Undefined: all. */
  permissions: Readonly<Record<string, string>> | undefined;
  /** Of a classic token: as GitHub's header lists them. Undefined: it is none. */
  scopes?: string | undefined;
  /** Milliseconds since the epoch. */
  expiresAt: number;
  /** Of an app. */
  installation: number | undefined;
}

export interface StandInInstallation {
  id: number;
  /** Paths of the repositories that it is for. */
  repositories: readonly string[];
  permissions: Readonly<Record<string, string>>;
  suspended: boolean;
}

export const commitOf = (seed: string): string => new Bun.CryptoHasher("sha1").update(seed).digest("hex");

export function newRepository(
  id: number,
  path: string,
  given: Partial<StandInRepository>,
): StandInRepository {
  return {
    id,
    path,
    private: true,
    defaultBranch: "main",
    archived: false,
    pushedAt: "2026-11-28T10:00:00Z",
    readers: [],
    branches: new Map([["main", commitOf(`${path} main`)]]),
    drafts: true,
    mergeMethods: ["merge", "squash", "rebase"],
    collaborators: [],
    teams: [],
    pulls: [],
    checkRuns: [],
    statuses: [],
    ...given,
  };
}

/** Adds an open one. */
export function addPull(
  repository: StandInRepository,
  given: Pick<StandInPull, "head" | "base"> & Partial<StandInPull>,
): StandInPull {
  const pull: StandInPull = {
    number: 1 + Math.max(0, ...repository.pulls.map((one) => one.number)),
    title: "Work",
    body: null,
    commit: repository.branches.get(given.head) ?? commitOf(given.head),
    draft: false,
    state: "open",
    mergedAt: null,
    mergeable: true,
    author: "robot",
    labels: [],
    reviewers: [],
    teams: [],
    reviews: [],
    ...given,
  };
  repository.pulls.push(pull);
  return pull;
}
