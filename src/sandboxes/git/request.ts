/** What git is asked for, and what comes of it: shared by the stages of this folder and the sandbox seam. */

/** Which branches of which repository a session works on. */
export interface RepositoryRequest {
  /** As the user wrote it: owner/name, an https URL, or (local modes) a path or file:// URL. */
  repo: string;
  targetBranch: string;
  /** The session's own branch. */
  branch: string;
}

/** What is known of its work besides: enough to fetch it. */
export interface FetchRequest extends RepositoryRequest {
  sessionId: string;
  /** The commit that a fork begins with, until it has work of its own. Null: the session begins with its target branch. */
  startCommit: string | null;
  /** The commit that its first prompt began with. Null: not known. */
  began: string | null;
  pushes: Pick<PushRecord, "commit">;
  unpushed: Pick<UnpushedWork, "commit" | "host" | "read">;
  /** Told before a credential of the operator is sent to a host. @param secret its variable. */
  useSecret?: (secret: string, host: string) => Promise<void>;
}

/** The same for a run, which adds to the work. */
export interface CheckoutRequest extends FetchRequest {
  pushes: PushRecord;
  unpushed: UnpushedWork;
  /** Looks at all that a work has, before it is kept, and before a push. Undefined: anything may be. */
  inspect?: (() => Inspection) | undefined;
}

/** Reads commit messages and a diff. */
export interface Inspection {
  take(part: Uint8Array): void;
  /** What it must be neither kept nor pushed with; undefined: nothing. */
  refusal(): Refusal | undefined;
}

/** Why work may not leave. */
export interface Refusal {
  /** The beginning of a sentence for the user. */
  reason: string;
  /** The names of the secrets in it, each with the files and messages that have it; never a value. */
  secrets: Readonly<Record<string, readonly string[]>>;
}

/** What the session has pushed to its branch, as the database knows it. A push is written down before it is made, and after. */
export interface PushRecord {
  /** The last commit that was, or was about to be, pushed. Null: the session has not made its branch. */
  readonly commit: string | null;
  /**
   * Before a push. @param target the repository and the branch.
   * @param replaces what the branch has, which the commit does not contain: it remains the session's until the push is settled.
   */
  record(commit: string, target: string, replaces?: string): Promise<void>;
  /** What became of a recorded commit. @param failure why it is not on the branch; undefined: it is. */
  settle(commit: string, failure?: string): Promise<void>;
  /** The branch is not the session's, so that the push was not made. */
  disown(failure: string): Promise<void>;
  /** The same of the first commit of a target branch, in a repository that was empty: it is not on the session's branch. */
  readonly first: Pick<PushRecord, "record" | "settle">;
}

/** What the session could not push, as the database keeps it: for the next prompt on another machine. */
export interface UnpushedWork {
  /** Null: the session has pushed everything. */
  readonly commit: string | null;
  /** The machine that alone has the commit, because it is too large to be kept. Null: it is kept. */
  readonly host: string | null;
  /** Writes the bundle to a file. @returns false: there is none. @throws RepositoryError if it is damaged. */
  read(file: string): Promise<boolean>;
  /**
   * Keeps a bundle whose tip is `commit`, instead of what was kept.
   * @returns false: it is too large, and it is written down that this machine has it.
   */
  keep(commit: string, file: string): Promise<boolean>;
}

export interface WorkResult {
  /** The commit that the work began with. */
  start: string;
  /** Commits on the session's branch that the target branch does not have. 0: the agent changed nothing. */
  commits: number;
  /** The branch's tip. */
  commit: string;
  /** Its short hash. */
  head: string;
  /** The commits that are neither in `start` nor in the target branch: how many, and the newest 250, the newest first. */
  added: { count: number; ids: readonly string[] };
  push: PushResult;
  /** What the user must be told of it besides (see notices.ts). */
  notices?: readonly string[];
}

/**
 * Where the branch was pushed to, or why it was not pushed.
 * `joined`: it has commits that others had pushed to it meanwhile. `began`: the repository was empty, and has its target branch by
 * this push. `hostIsAway`: a later push may succeed. `theirs`: what the branch has, which the work does not contain.
 * `secrets`: see Refusal. `refused`: the work is not kept either (see Inspection).
 */
export type PushResult =
  | { pushed: true; to: string; joined?: true; began?: true }
  | {
      pushed: false;
      reason: string;
      hostIsAway?: true;
      theirs?: string;
      secrets?: Refusal["secrets"];
      refused?: true;
    };
