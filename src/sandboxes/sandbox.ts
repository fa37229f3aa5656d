import type { AgentCommand, AgentExit, RemoteWorkplace, SandboxPaths } from "../agents/agent.ts";
import type { AgentProcess, SandboxConfig } from "../db/json-columns.ts";
import type { JournalLine } from "./process/journal.ts";

/**
 * The sandbox seam. A sandbox is borrowed for the prompts of one session, holds the checkout of its branch, runs
 * programs, and is given back.
 */

export interface CheckoutRequest {
  sessionId: string;
  /** As the user wrote it: owner/name, https URL, or (local modes) a path or file:// URL. */
  repo: string;
  targetBranch: string;
  branch: string;
}

export interface WorkResult {
  /** Commits on the session's branch that the target branch does not have. 0: the agent changed nothing. */
  commits: number;
  /** Short hash of the branch's tip. */
  head: string;
  /** Where the branch went, or why it stayed here. */
  push: { pushed: true; to: string } | { pushed: false; reason: string };
}

/** How a program of a sandbox ended. */
export interface SandboxExit extends AgentExit {
  /** It ended without a word, its keeper too: the machine was restarted, or somebody killed both. */
  lost: boolean;
}

/** A program in a sandbox. It does not depend on the process that started it; another one may attach to it. */
export interface SandboxProcess {
  /** All that is needed to find it again. */
  readonly record: AgentProcess;
  /** Milliseconds since its start, by a clock that nobody sets. */
  ageMs(): number;
  /** How it was found. */
  readonly state: "running" | "ended" | "lost";
  /**
   * What it has printed and will print, line by line, beginning `from` so many bytes; until it and all that it started
   * have ended. A line longer than the cap is cut and marked.
   */
  lines(from: number): AsyncIterable<JournalLine>;
  /** The file that has its output. */
  readonly output: string;
  /** Resolves when the program AND everything it started have ended. */
  exit: Promise<SandboxExit>;
  /** Polite end (SIGTERM), then by force after `graceMs`. Resolves when all is gone. Idempotent. */
  stop(graceMs: number): Promise<void>;
  /** Processor time so far, in clock ticks, and bytes printed. */
  usage(): Promise<{ cpuTicks: number; outputBytes: number }>;
  /** Watches it no longer: `lines` ends, `exit` rejects. The program goes on. */
  letGo(): void;
}

export interface Sandbox {
  readonly config: SandboxConfig;
  /** As programs inside see them. */
  readonly paths: SandboxPaths;
  /** As this process sees the same folder as `paths.state` / `paths.checkout`. */
  readonly hostPaths: SandboxPaths;
  /** A borrowed sandbox, apart from this machine, that the agent works in through MCP alone. */
  readonly remote?: RemoteWorkplace | undefined;
  /** A file that agents under isolation cannot see, for what the next runner of this sandbox must know. */
  readonly notes: string;
  /** @param limitMs after which the program is ended whether a runner watches it or not. */
  start(command: AgentCommand, limitMs: number): SandboxProcess;
  /** Undefined where there is no trace of it. */
  attach(record: AgentProcess): Promise<SandboxProcess | undefined>;
  /**
   * Commits what was left uncommitted, takes the branch out of the sandbox, pushes it if that is allowed. Once all
   * programs have ended. May be repeated.
   */
  collect(message: string, signal: AbortSignal): Promise<WorkResult>;
}

export interface SandboxProvider {
  /** This machine, as in a sandbox's config. */
  readonly host: string;
  /** One sentence for log and /health-detail; `isolated: false` is a loud warning. */
  readonly isolation: { isolated: boolean; detail: string };
  /** A config for a new sandbox; makes nothing. */
  plan(): SandboxConfig;
  /**
   * Makes the sandbox and checks the branch out.
   * @param record stores what the config has become, before it is relied upon.
   * @throws RepositoryError with a sentence for the user; SandboxUnavailable.
   */
  open(
    config: SandboxConfig,
    request: CheckoutRequest,
    signal: AbortSignal,
    record: (config: SandboxConfig) => Promise<void>,
  ): Promise<Sandbox>;
  /** The sandbox as an earlier runner left it; undefined where it is not here, or was never finished. */
  reopen(config: SandboxConfig, request: CheckoutRequest): Promise<Sandbox | undefined>;
  /** Ends every process of the sandbox and removes its checkout, home and tmp. Idempotent. False: another machine's. */
  release(config: SandboxConfig): Promise<boolean>;
  /**
   * Releases what is on this machine and held by no session; returns how many. The crash path. It asks `heldOf` about
   * the folders that it has already listed: a sandbox is recorded before its folder is made, so none is missed.
   */
  sweep(heldOf: (ids: readonly string[]) => Promise<ReadonlySet<string>>): Promise<number>;
  /** Bytes that are free where checkouts are. */
  freeBytes(): Promise<number>;
  /** Bytes that all sandboxes of this machine have. */
  usedBytes(): Promise<number>;
}

/** One kind of sandboxes, with configs of its own shape. */
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

/** No sandbox is to be had now; there may be one later. `message` is for the user. */
export class SandboxUnavailable extends Error {
  override readonly name = "SandboxUnavailable";
}

/** The repository, branch or credentials are wrong; `message` is for the user. */
export class RepositoryError extends Error {
  override readonly name = "RepositoryError";
  /** @param passing whether the same may work a moment later: the network, a server that is away. */
  constructor(
    message: string,
    options?: ErrorOptions,
    readonly passing = false,
  ) {
    super(message, options);
  }
}
