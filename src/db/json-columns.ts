import type { FAILURE_KINDS } from "./columns.ts";

/** The shapes of jsonb columns. They are stored: a field that is added is optional, or old rows break. */

/** One turn of a session's conversation, as `session.messages` keeps it. `at` is ISO 8601 in UTC. */
export interface Turn {
  role: "user" | "assistant";
  content: string;
  prompt_id: string;
  at: string;
}

/** Identifies a running agent beyond doubt, on the machine where it runs. */
export interface AgentProcess {
  /** The DATA_DIR's machine, as in a sandbox's config. */
  host: string;
  /** Names its journal and exit files in the sandbox's folder. */
  id: string;
  pid: number;
  /** Clock ticks since boot, as in /proc. */
  started: number;
  /** The kernel's boot id. */
  boot: string;
  /** It resumed an earlier conversation. */
  resumed?: boolean;
  /** Its work is being delivered to its branch: if the runner dies now, the outcome is unknown. */
  delivering?: boolean;
}

/** One failed attempt of a prompt, kept as evidence. `at` is ISO 8601 in UTC. */
export interface Failure {
  attempt: number;
  at: string;
  kind: (typeof FAILURE_KINDS)[number];
  error: string;
}

/** The sandbox that a session holds: stored BEFORE anything is made, and all that its release needs. */
export type SandboxConfig = LocalConfig | AllocatorConfig;

export interface LocalConfig {
  provider: "local";
  /** UUID; names the sandbox's folder. */
  id: string;
  /** The machine (DATA_DIR) that has it; another machine cannot release it. */
  host: string;
}

/** A borrowed sandbox. Without `item` it may have been borrowed or not: only the machine that asked can know. */
export interface AllocatorConfig {
  provider: "allocator";
  /** Ours, not the allocator's. UUID. */
  id: string;
  /** The machine that runs its agent. */
  host: string;
  /** As it was borrowed, secrets included: never shown, never logged. */
  item?: BorrowedItem;
  borrow_token?: string;
}

export interface BorrowedItem {
  mcp_json_string: string;
  api_url: string;
  [key: string]: unknown;
}
