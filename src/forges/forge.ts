import type { ForgeHost } from "../config/forge-hosts.ts";
import type { Secret } from "../shared/secret.ts";

/**
 * A host of repositories and their pull requests (GitLab: merge requests). Each method reads or changes the host itself;
 * nothing is cached.
 * @throws ForgeError
 */
export interface Forge {
  readonly host: ForgeHost;
  /** Asks the host whose its credential is, which there is. @throws ForgeError `unauthorised` when it is refused. */
  checkCredential(signal: AbortSignal): Promise<CredentialReport>;
  /**
   * Repositories that its credential, which there is, may push to, up to 100, the last changed ones first: what people may
   * want to work on. Not all that it may see.
   * @param onPartFailed hears why a part of them is missing, while the others are listed.
   */
  listRepositories(
    signal: AbortSignal,
    onPartFailed: (error: unknown) => void,
  ): Promise<readonly ListedRepository[]>;
  /** The newest one from `head` into `base` that is open; else the newest that is not. */
  findPullRequest(
    repository: ForgeRepository,
    wanted: { head: string; base: string },
    signal: AbortSignal,
  ): Promise<PullRequest | undefined>;
  /** @throws ForgeError `exists` when the host has an open one from `head` into `base`. */
  createPullRequest(
    repository: ForgeRepository,
    draft: NewPullRequest,
    signal: AbortSignal,
  ): Promise<PullRequest>;
  /** Idempotent: adds what is missing. @returns what the host did not accept, as sentences. */
  decoratePullRequest(
    repository: ForgeRepository,
    number: number,
    wanted: { labels: readonly string[]; reviewers: readonly string[] },
    signal: AbortSignal,
  ): Promise<readonly string[]>;
  /** With its checks and reviews. */
  readPullRequest(repository: ForgeRepository, number: number, signal: AbortSignal): Promise<PullRequest>;
  /** Merges it if its head is still `head`. @throws ForgeError `conflict` when it cannot be merged, or has moved. */
  mergePullRequest(
    repository: ForgeRepository,
    number: number,
    wanted: { head: string; method: MergeMethod },
    signal: AbortSignal,
  ): Promise<{ commit: string }>;
}

/** What a host says of the credential that it has accepted. */
export interface CredentialReport {
  /** Login of its user, or the app's name. Null: it may not say, as a token for repositories alone may not. */
  owner: string | null;
  /** What the service needs and it has not: "the scope api". Only what the host tells. */
  lacks: readonly string[];
}

export interface ForgeRepository {
  /** As in its URL, without ".git": owner/name, or group/subgroup/name. */
  path: string;
}

export interface ListedRepository extends ForgeRepository {
  /** As the host says it: nobody has checked it. Null: there is none. */
  defaultBranch: string | null;
}

export const MERGE_METHODS = ["merge", "squash", "rebase"] as const;
export type MergeMethod = (typeof MERGE_METHODS)[number];

export interface NewPullRequest {
  title: string;
  /** Markdown. */
  body: string;
  /** Branches of the same repository. */
  head: string;
  base: string;
  draft: boolean;
}

export interface PullRequest {
  /** As people write it (GitLab: iid). */
  number: number;
  /** Of its page. */
  url: string;
  title: string;
  state: "open" | "merged" | "closed";
  draft: boolean;
  /** The commit at its head; null: the branch is gone. */
  head: string | null;
  base: string;
  /** Null: the host does not know (yet). */
  mergeable: boolean | null;
  createdAt: Date;
  /** Null: not read. `readPullRequest` alone reads them, where the credential may: some tokens can do all but that. */
  checks: readonly Check[] | null;
  /** Null: not read. `readPullRequest` alone reads them. */
  reviews: readonly Review[] | null;
}

export interface Check {
  name: string;
  status: "pending" | "passed" | "failed" | "skipped";
  /** Null: it has no page. */
  url: string | null;
}

/** The last word of one reviewer. */
export interface Review {
  reviewer: string;
  state: "approved" | "changes_requested" | "commented" | "pending";
  at: Date | null;
}

/** What git sends to a host, for one repository. */
export interface GitCredential {
  username: string;
  password: Secret;
}

/**
 * - unauthorised: the credential is wrong or has expired.  - forbidden: it lacks a permission.
 * - missing: no such repository or pull request for it.  - exists: there is one already.
 * - conflict: it cannot be merged as it is.  - invalid: the host refuses what was asked.
 * - rate_limited, unavailable: a later try may succeed.
 */
export type ForgeFault =
  | "unauthorised"
  | "forbidden"
  | "missing"
  | "exists"
  | "conflict"
  | "invalid"
  | "rate_limited"
  | "unavailable";

/** @param message a sentence for users: what the host refused, why, what to do. Without credentials. */
export class ForgeError extends Error {
  override name = "ForgeError";
  readonly fault: ForgeFault;
  /** When to try again, where the host said it. */
  readonly retryAt: Date | undefined;

  constructor(fault: ForgeFault, message: string, options: { cause?: unknown; retryAt?: Date } = {}) {
    super(message, { cause: options.cause });
    this.fault = fault;
    this.retryAt = options.retryAt;
  }
}
