import type { AgentCommand, SandboxPaths } from "../agents/agent.ts";
import type { AgentProcess } from "../db/json-columns.ts";
import type { DiskQuotas, DiskSpace } from "./disk/quotas.ts";
import type { RepositoryStore } from "./git/repository.ts";
import type { RepositoryRequest } from "./git/request.ts";
import type { Clean, Keeps, KeptState } from "./kept-state.ts";
import type { SandboxProcess } from "./process/sandbox-process.ts";
import type { StoredState } from "./restore-state.ts";
import type { SandboxProvider } from "./sandbox.ts";

/**
 * What every sandbox needs from the machine that runs its agent: the folders
 * DATA_DIR/sandboxes/<id>/disk/{checkout,home,tmp,state}, whose size is limited, isolation by bubblewrap where it works, and
 * our own copies of the repositories. What is kept of a session's state (its transcript) is in
 * DATA_DIR/conversations/<session>, which no sandbox sees.
 */
export interface Machine
  extends Pick<
    SandboxProvider,
    "host" | "isolation" | "branchesOf" | "sweep" | "purge" | "freeBytes" | "usedBytes"
  > {
  /** The disk space of sandboxes. */
  disk: DiskQuotas;
  spaceOf(id: string, sessionId: string): DiskSpace;
  /** Holds `disk/` and what the service itself writes about the sandbox. */
  folderOf(id: string): string;
  /** The sandbox's paths as this process sees them. */
  pathsOf(id: string): SandboxPaths;
  /** The same paths as programs in the sandbox see them. */
  insideOf(hostPaths: SandboxPaths): SandboxPaths;
  /**
   * Makes the sandbox's folders, with their limit, for its own host user where sandboxes have one. Idempotent: after a
   * restart of the machine, it brings them back.
   */
  makeFolders(id: string, sessionId: string): Promise<void>;
  /** As of Sandbox: before its first program, and after its last. */
  restoreState(id: string, sessionId: string, keeps: Keeps, stored?: StoredState): Promise<void>;
  /** The folder for what programs of the sandbox only read, as this process sees it, and as they do. */
  mailboxOf(id: string): { host: string; inside: string };
  keepState(id: string, sessionId: string, keeps: Keeps, clean?: Clean): Promise<KeptState>;
  /** Gives what this process wrote into a folder to the sandbox's user. */
  handOver(id: string, folder: string): Promise<void>;
  /** The sandbox's host user; undefined: the service's own. */
  uidOf(id: string): number | undefined;
  /**
   * Before work on what programs of the sandbox have left: it may start what they say.
   * @throws NotIsolated unless this machine isolates, ALLOW_UNISOLATED_AGENTS is set, or all of them were built in.
   */
  require(id: string): Promise<void>;
  /**
   * @param gateway folder with the socket of the run's gateway.
   * @param maxOutputBytes what it may print; default: as much as an agent (RUN_MAX_OUTPUT_MB).
   * @throws NotIsolated as `require`.
   */
  launch(
    id: string,
    hostPaths: SandboxPaths,
    command: AgentCommand,
    limitMs: number,
    gateway?: string,
    maxOutputBytes?: number,
  ): SandboxProcess;
  /**
   * Gets ready what `launch` needs for an agent as the last one, in a sandbox whose folders are there, unless nothing is known
   * of that. @param borrowed the folder of objects that its checkout will borrow, as far as can be told.
   */
  getReady(id: string, hostPaths: SandboxPaths, borrowed: string | undefined): void;
  attach(id: string, record: AgentProcess): Promise<SandboxProcess | undefined>;
  /** Kills every process of a sandbox. */
  killAll(id: string): Promise<void>;
  /** Kills every process of a sandbox and removes its folder. Idempotent. */
  remove(id: string): Promise<void>;
  /** The largest bundle of a sandbox's work, bytes (REPO_MAX_MB). */
  maxWorkBytes: number;
  /** Our copy of the requested repository. @throws RepositoryError if the request is invalid. */
  repositoryFor(request: RepositoryRequest): RepositoryStore;
  /**
   * Keeps the commit that the checkout started from. Written last: a sandbox that has it is complete.
   * @param borrowed the folder of objects that the checkout borrows (see git/shared-objects.ts): its programs get it, too.
   */
  writeStart(id: string, commit: string, borrowed?: string): Promise<void>;
  /** Undefined: the sandbox is not complete, or not on this machine. */
  readStart(id: string): Promise<string | undefined>;
  author: { name: string; email: string };
}
