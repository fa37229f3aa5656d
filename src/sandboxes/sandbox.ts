import type { AgentCommand, AgentExit, SandboxPaths } from "../agents/agent.ts";

/**
 * The sandbox seam. A sandbox is borrowed for the prompts of one session, holds the checkout of its branch, runs
 * programs, and is given back. Its config is stored in session.sbx_config BEFORE anything is made (so that a crash
 * leaves a record of what to release) and is all that `release` needs.
 */
export interface SandboxConfig {
  provider: "local";
  /** UUID; names the sandbox's folder. */
  id: string;
  /** Which machine's (DATA_DIR's) sandbox it is; another machine cannot release it. */
  host: string;
}

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

export interface SandboxProcess {
  /** Decoded stdout, one complete line each, without the newline. A line longer than the cap is cut and marked. */
  lines: AsyncIterable<string>;
  /** Resolves when the program AND everything it started have ended. */
  exit: Promise<AgentExit>;
  /** Polite end (SIGTERM), then by force after `graceMs`. Resolves when all is gone. Idempotent. */
  stop(graceMs: number): Promise<void>;
}

export interface Sandbox {
  readonly config: SandboxConfig;
  /** As programs inside see them. */
  readonly paths: SandboxPaths;
  /** As this process sees the same folder as `paths.state` / `paths.checkout`. */
  readonly hostPaths: SandboxPaths;
  start(command: AgentCommand): SandboxProcess;
  /** Commits what was left uncommitted, takes the branch out of the sandbox, pushes it if that is allowed. */
  collect(message: string, signal: AbortSignal): Promise<WorkResult>;
}

export interface SandboxProvider {
  /** One sentence for log and /health-detail; `isolated: false` is a loud warning. */
  readonly isolation: { isolated: boolean; detail: string };
  /** A config for a new sandbox; makes nothing. */
  plan(): SandboxConfig;
  /** Makes the sandbox and checks the branch out. Throws RepositoryError with a sentence for the user. */
  open(config: SandboxConfig, request: CheckoutRequest, signal: AbortSignal): Promise<Sandbox>;
  /** Ends every process of the sandbox and removes its checkout, home and tmp. Idempotent. False: another machine's. */
  release(config: SandboxConfig): Promise<boolean>;
  /**
   * Releases what is on this machine and held by no session; returns how many. The crash path. It asks `heldOf` about
   * the folders that it has already listed: a sandbox is recorded before its folder is made, so none is missed.
   */
  sweep(heldOf: (ids: readonly string[]) => Promise<ReadonlySet<string>>): Promise<number>;
  close(): Promise<void>;
}

/** The repository, branch or credentials are wrong; `message` is for the user. Not retried. */
export class RepositoryError extends Error {
  override readonly name = "RepositoryError";
}
