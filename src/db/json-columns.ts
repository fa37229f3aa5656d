import type {
  AgentMemoryKind,
  FAILURE_KINDS,
  ModelApi,
  OutageCause,
  PromptPhase,
  RunMode,
  TURN_ROLES,
  WaitingFor,
} from "./columns.ts";

/** The shapes of jsonb columns. New fields must be optional, because old rows lack them. */

/** One turn of a session's conversation, in `session.messages`. `at` is ISO 8601 in UTC. */
export interface Turn {
  role: (typeof TURN_ROLES)[number];
  content: string;
  prompt_id: string;
  at: string;
}

/** Identifies a running agent uniquely, on the machine where it runs. */
export interface AgentProcess {
  /** The machine (DATA_DIR), as in a sandbox's config. */
  host: string;
  /** Names its journal and exit files in the sandbox's folder. */
  id: string;
  pid: number;
  /** Clock ticks since boot, as in /proc. */
  started: number;
  /** The kernel's boot id. */
  boot: string;
  /** Milliseconds that it waited for its program (see sandboxes/process/standby.ts): they do not count. */
  waitedMs?: number;
  /** Whether it resumed an earlier conversation. */
  resumed?: boolean;
  /** Whether it takes messages of its user while it works. */
  steers?: boolean;
  /** Whether output was stored in the present attempt before it was recorded: it resumed the work of another agent. */
  hasOutput?: boolean;
  /** Whether its work is being delivered: if the runner dies now, the outcome is unknown. */
  delivering?: boolean;
  /** Whether the takeover that is in progress counts as an attempt already: its own runner may die, too. */
  counted?: boolean;
  /** Bytes of its output that were stored at its last adoption. Removed again when that adoption has gone well. */
  adoptedAt?: number;
  /** Adoptions in a row without progress (see runs/stalled-adoptions.ts). */
  stalls?: number;
}

/** A part of a run. `started_at` is a time with its zone, as PostgreSQL writes it into JSON. */
export interface PhaseStart {
  name: PromptPhase;
  started_at: string;
}

/** How the sandbox of a run was isolated when its agent was started, in the words of /health/detail. */
export interface RunIsolation {
  isolated: boolean;
  /** A sentence. */
  detail: string;
}

/** A file of an agent's memory: its pieces, in order. */
export interface MemoryFile {
  /** Below the state folder, without a slash at its beginning. */
  path: string;
  /** Bytes. */
  size: number;
  /** Whether its owner may execute it. */
  executable?: boolean;
  /** Of all pieces; each but the last has the same size. */
  chunks: string[];
}

/** One failed attempt of a prompt, kept as evidence. `at` is ISO 8601 in UTC. */
export interface Failure {
  attempt: number;
  at: string;
  kind: (typeof FAILURE_KINDS)[number];
  error: string;
}

/** A series of failed attempts for the same cause, without a success between them. */
export interface OutageSeries {
  cause: OutageCause;
  /** When the first one failed, ISO 8601 in UTC. */
  since: string;
  tries: number;
}

/** What a session's user has chosen. */
export interface PromptChoice {
  /** Null: none, so that it is the default of whichever machine. */
  agent: string | null;
  model: string | null;
  mode: RunMode;
}

/** What a worker says of an agent. */
export interface AgentReport {
  title: string;
  version: string | null;
  available: boolean;
  /** Why not, and what to install or set: a sentence. Null: it is available. */
  reason: string | null;
  /** Those that may be chosen. None: any that its API has. */
  models: string[];
  modes: RunMode[];
  /** Whether it takes messages while it works. Undefined: its worker is of an older version. */
  steering?: boolean;
  /** Whether it keeps to a limit of turns. Undefined: likewise. */
  max_turns?: boolean;
  memory: AgentMemoryKind;
  /** Whether it works on the prompts that name none. */
  default: boolean;
  /** Whose API it speaks to its model. Null: it needs no model. */
  model_api: ModelApi | null;
}

/** What a session's next prompt waits for, for its users. Times are ISO 8601 in UTC. */
export interface Waiting {
  for: WaitingFor;
  /** A sentence. */
  reason: string;
  since: string;
  /** The next attempt, null if nobody knows; of questions, when the first of them is denied. */
  until: string | null;
  /** How many questions are open. */
  open?: number;
  /** The budget that is used up, US dollars. */
  budget?: { scope: string; limit_usd?: number; spent_usd?: number; call_usd: number };
}

/** The sandbox that a session holds: stored before it is created, and sufficient to release it. */
export type SandboxConfig = LocalConfig | AllocatorConfig;

export interface LocalConfig {
  provider: "local";
  /** UUID; names the sandbox's folder. */
  id: string;
  /** The machine (DATA_DIR) that has it, and the only one that can release it. */
  host: string;
}

/** A borrowed sandbox. Without `item` it may or may not have been borrowed; only the machine that asked knows. */
export interface AllocatorConfig {
  provider: "allocator";
  /** UUID; this service's id, not the allocator's. */
  id: string;
  /** The machine that runs its agent. */
  host: string;
  /** The allocator's reply, including secrets: it must not be shown or logged. */
  item?: BorrowedItem;
  borrow_token?: string;
}

export interface BorrowedItem {
  mcp_json_string: string;
  api_url: string;
  [key: string]: unknown;
}

/** What an effect is to do, by its kind. */
export interface EffectRequest {
  /** Of a push: what the branch is to be at. Of a merge: the head of what is merged. */
  commit?: string;
  /** Of a pull request. Without title and text: those of the session. */
  base?: string;
  draft?: boolean;
  title?: string;
  body?: string;
  /** Of a merge. */
  number?: number;
  method?: string;
}

/** How an effect ended. */
export interface EffectResult {
  /** Why it failed, a sentence for the user. */
  reason?: string;
  /** A code of shared/errors.ts, for whoever waits for it. */
  code?: string;
  /** Of a pull request. */
  number?: number;
  url?: string;
  /** Of a merge. */
  commit?: string;
  /** What the host did not accept of it, sentences for the user. */
  notes?: string[];
}

/** What a forge says of a pull request's head. */
export interface KeptCheck {
  name: string;
  status: "pending" | "passed" | "failed" | "skipped";
  url: string | null;
}

/** What one reviewer said last; `at` is ISO 8601 in UTC. */
export interface KeptReview {
  reviewer: string;
  state: "approved" | "changes_requested" | "commented" | "pending";
  at: string | null;
}
