import type { AgentCommand, RemoteWorkplace, SandboxPaths } from "../agents/agent.ts";
import type { AgentProcess, SandboxConfig } from "../db/json-columns.ts";
import type { BranchList } from "./git/list-branches.ts";
import type { RepositoryStore } from "./git/repository.ts";
import type { CheckoutRequest, FetchRequest, RepositoryRequest, WorkResult } from "./git/request.ts";
import type { Sync } from "./git/sync.ts";
import type { IsolationStatus } from "./isolation/status.ts";
import type { Clean, Keeps, KeptState } from "./kept-state.ts";
import type { Preparation } from "./prepared.ts";
import type { SandboxProcess } from "./process/sandbox-process.ts";
import type { PurgeOptions } from "./purge-data-dir.ts";
import type { GivenFile } from "./put-files.ts";
import type { StoredState } from "./restore-state.ts";

/**
 * The sandbox seam. A sandbox belongs to one session: it holds the checkout of the session's branch, runs programs,
 * delivers their work, and is released.
 */

export { EMPTY_TREE } from "./git/first-commit.ts";
export { RepositoryError } from "./git/git-errors.ts";
export type { BranchList } from "./git/list-branches.ts";
export { noticesText } from "./git/notices.ts";
export type { RepositoryReader } from "./git/reader.ts";
export type { CheckoutRequest, FetchRequest, Refusal, WorkResult } from "./git/request.ts";
export { SYNC_STRATEGIES, type SyncStrategy } from "./git/sync.ts";
export { NotIsolated } from "./isolation/status.ts";
export type { Clean, KeptState, StateProblem } from "./kept-state.ts";
export { type Look, NotPrepared, type Preparation } from "./prepared.ts";
export type { ProcessUsage } from "./process/meter.ts";
export type { SandboxExit, SandboxProcess } from "./process/sandbox-process.ts";
export { StateDamaged } from "./restore-state.ts";

export interface Sandbox {
  readonly config: SandboxConfig;
  /** Paths as programs in the sandbox see them. */
  readonly paths: SandboxPaths;
  /** The same folders as this process sees them. */
  readonly hostPaths: SandboxPaths;
  /** A folder that only the service writes: as this process sees it, and as programs in the sandbox do. */
  readonly mailbox: { host: string; inside: string };
  /** Set: the checkout is on another machine, and the agent reaches it only through MCP. */
  readonly remote?: RemoteWorkplace | undefined;
  /** Keeps what setup leaves in it for other sandboxes. Undefined: the checkout is elsewhere, or PREPARED_MAX_MB is 0. */
  readonly preparation?: Preparation | undefined;
  /** A file for the next runner of this sandbox. Isolated agents cannot see it. */
  readonly notes: string;
  /** What its new checkout has to tell the user, sentences (see git/notices.ts). None once it was opened again. */
  readonly notices: readonly string[];
  /**
   * @param limitMs when the program is killed, whether a runner watches it or not.
   * @param gateway folder with the socket of the run's gateway; undefined: no network.
   * @throws NotIsolated
   */
  start(command: AgentCommand, limitMs: number, gateway?: string): SandboxProcess;
  /** Undefined if the program's files are gone. */
  attach(record: AgentProcess): Promise<SandboxProcess | undefined>;
  /**
   * Writes a stored state into this new sandbox, or, without one, what this machine has kept. Call it before anything is
   * started. @throws StateDamaged; nothing of it is in the sandbox then.
   */
  restoreState(keeps: Keeps, stored?: StoredState): Promise<void>;
  /**
   * Puts files where the agent finds them, in a folder that git does not see, in place of those that were put there before.
   * Call it while no program of the sandbox runs.
   * @returns the folder, as the agent or its remote tools see it. @throws RepositoryError
   */
  putFiles(files: readonly GivenFile[], signal: AbortSignal): Promise<string>;
  /**
   * Keeps these files of the state on this machine, up to its limit. Call it when all programs have ended.
   * @param clean what is kept of a file's bytes; default: all of them.
   */
  keepState(keeps: Keeps, clean?: Clean): Promise<KeptState>;
  /** Calls `onFull` once, when the sandbox has used all the disk space that it may. `open` and `deliverWork` watch themselves. */
  watchDisk(onFull: () => void): { stop(): void };
  /**
   * Once all programs have ended: false if the machine's disk has lost a part of what was written here. It says so once, or
   * for ever if the sandbox cannot be written to any more.
   */
  intact(): Promise<boolean>;
  /**
   * Commits uncommitted changes, imports the branch from the sandbox, and pushes it if the service has credentials. Call
   * it when all programs have ended. Idempotent.
   * @param message of the commit.
   * @param onImport called before anything leaves the sandbox.
   * @throws RepositoryError; NotIsolated: what is in the checkout stays as it is.
   */
  deliverWork(message: string, signal: AbortSignal, onImport?: () => void): Promise<WorkResult>;
}

export interface SandboxProvider {
  /** The id of this machine, as in a sandbox's config. */
  readonly host: string;
  readonly isolation: IsolationStatus;
  /** A config for a new sandbox; creates nothing. */
  plan(): SandboxConfig;
  /**
   * Creates the sandbox and checks out the branch.
   * @param record stores the config when it changes, before anything depends on the change.
   * @throws RepositoryError with a sentence for the user; SandboxUnavailable; NotIsolated.
   */
  open(
    config: SandboxConfig,
    request: CheckoutRequest,
    signal: AbortSignal,
    record: (config: SandboxConfig) => Promise<void>,
  ): Promise<Sandbox>;
  /**
   * Pushes what the session has to its branch, without a sandbox. Idempotent.
   * @throws RepositoryError with a sentence for the user.
   */
  push(request: CheckoutRequest, signal: AbortSignal): Promise<WorkResult>;
  /**
   * Takes the target branch into the session's work and pushes it, without a sandbox. Idempotent.
   * @throws RepositoryError with a sentence for the user.
   */
  sync(request: CheckoutRequest, sync: Omit<Sync, "author">, signal: AbortSignal): Promise<WorkResult>;
  /** What a session has done, and its branches, in this machine's store. @throws RepositoryError where there is no such repository. */
  repositoryFor(request: RepositoryRequest): Pick<RepositoryStore, "fetch" | "read">;
  /**
   * The branches of a repository that a session may name. Keeps nothing of it.
   * @throws RepositoryError, also where there is no such repository; NotIsolated; what `signal` aborted with.
   */
  branchesOf(request: Pick<FetchRequest, "repo" | "useSecret">, signal: AbortSignal): Promise<BranchList>;
  /** The sandbox as an earlier runner left it; undefined if it is on another machine or was never completed. */
  reopen(config: SandboxConfig, request: CheckoutRequest): Promise<Sandbox | undefined>;
  /**
   * Kills every process of the sandbox and removes its checkout, home and tmp. Idempotent.
   * @returns false if the sandbox is on another machine.
   */
  release(config: SandboxConfig): Promise<boolean>;
  /**
   * Releases the sandboxes of this machine that no session holds, such as those left by a crash. It lists them first and
   * asks `heldOf` about them then: a sandbox is recorded before its folder is created, so none in use is released.
   * @returns how many were released.
   */
  sweep(heldOf: (ids: readonly string[]) => Promise<ReadonlySet<string>>): Promise<number>;
  /** Purges what deleted sessions have left in DATA_DIR; see purge-data-dir.ts. */
  purge(options: PurgeOptions): Promise<{ conversations: number; branches: number }>;
  /** Purges prepared checkouts of projects that are gone. @param known which of these there are. @returns how many. */
  purgePrepared(known: (projects: readonly string[]) => Promise<ReadonlySet<string>>): Promise<number>;
  /** How the disk space of a sandbox is limited, a sentence; `enforced: false`: it is only watched. */
  readonly disk: { enforced: boolean; limit: number; detail: string };
  /** Free bytes on the file system of the checkouts. */
  freeBytes(): Promise<number>;
  /** Bytes used by all sandboxes of this machine. */
  usedBytes(): Promise<number>;
}

/** One kind of sandbox, with its own kind of config. */
export interface SandboxKind<Own extends SandboxConfig> {
  plan(): Own;
  open(
    config: Own,
    request: CheckoutRequest,
    signal: AbortSignal,
    record: (config: Own) => Promise<void>,
  ): Promise<Sandbox>;
  reopen(config: Own, request: CheckoutRequest): Promise<Sandbox | undefined>;
  release(config: Own): Promise<boolean>;
}

/** No sandbox is available now; one may be later. `message` is for the user. */
export class SandboxUnavailable extends Error {
  override readonly name = "SandboxUnavailable";
  /** @param retryAfterMs how long to wait at least. */
  constructor(
    message: string,
    readonly retryAfterMs = 0,
  ) {
    super(message);
  }
}
