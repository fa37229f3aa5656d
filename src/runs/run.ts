import type { AgentProcess, Failure, SandboxConfig } from "../db/json-columns.ts";

/** What a runner knows of the run that it has claimed. */
export interface ClaimedRun {
  promptId: string;
  sessionId: string;
  userId: string;
  /** Fences every write of this run. */
  epoch: number;
  /** 1 for the first. */
  attempt: number;
  data: unknown;
  repo: string;
  targetBranch: string;
  branch: string;
  /** A sandbox that an earlier run of the session still holds. */
  sbxConfig: SandboxConfig | null;
  /** The agent that an earlier runner of this prompt has started. */
  process: AgentProcess | null;
  /** Bytes of its output that are stored. */
  outputOffset: number;
  cancelRequested: boolean;
  /** How long it waited for this start, milliseconds. */
  waitedMs: number;
  failures: Failure[];
}

export type Fence = Pick<ClaimedRun, "promptId" | "epoch">;

/** This run was superseded (or its prompt is gone): its write changed nothing, and it must stop. */
export class LeaseLost extends Error {
  override readonly name = "LeaseLost";
  constructor() {
    super("another runner has taken this prompt over");
  }
}
