import { MIB } from "../shared/units.ts";
import type { createRegistry } from "./registry.ts";

/** Seconds, from preparing a checkout to hours of agent work. */
export const RUN_BUCKETS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600];
/** Bytes, from a small program to a large build. */
const MEMORY_BUCKETS = [16, 64, 256, 512, 1024, 2048, 4096, 8192, 16_384].map((mib) => mib * MIB);
const PROCESS_BUCKETS = [4, 8, 16, 32, 64, 128, 256, 512, 1024];

export type RunPhase = "queue" | "prepare" | "run" | "finish";

/** What runs of this process report, and what users say to them. */
export interface RunMetrics {
  runStarted(): void;
  phase(phase: RunPhase, seconds: number): void;
  runEnded(
    labels: { agent: string; outcome: string; kind: string },
    usage: Readonly<Record<string, number>>,
  ): void;
  takeover(how: "adopted" | "restarted"): void;
  affinity(outcome: "warm" | "moved" | "declined"): void;
  agentMemory(kind: string): void;
  /** @param bytes of all snapshots of this machine. */
  preparedCheckout(outcome: "hit" | "miss" | "kept" | "refused", bytes: number): void;
  agentsAvailable(agents: readonly { name: string; available: boolean }[]): void;
  fencedWrite(): void;
  /** A question of an agent was answered by its user. */
  permissionAnswered(decision: string, seconds: number): void;
  permissionsExpired(count: number): void;
  steered(delivered: "running" | "queued"): void;
  egressDecision(decision: "allowed" | "refused"): void;
  sandboxReturn(outcome: "done" | "failed" | "given_up"): void;
  /** A project's setup command has ended, or was ended. */
  setUp(outcome: "done" | "failed", seconds: number): void;
  /** Values of secrets were replaced. */
  secretsRedacted(count: number): void;
  /** Work was not kept or not pushed, because it has a secret in it. */
  workRefused(): void;
}

export function createRunMetrics({
  counter,
  gauge,
  histogram,
}: ReturnType<typeof createRegistry>): RunMetrics {
  const active = gauge("active_runs", "Prompts that this process is running.");
  const phases = histogram("run_phase_duration_seconds", "Duration of a run's phases.", RUN_BUCKETS, "phase");
  const runs = counter("runs_total", "Runs that ended in this process.", "agent", "outcome", "kind");
  const takeovers = counter("run_takeovers_total", "Runs taken over from another runner.", "how");
  const affinity = counter(
    "affinity_total",
    "Prompts started where their session was warm, or moved to another machine; declined: left to others by a busy one.",
    "outcome",
  );
  const memories = counter(
    "agent_memory_total",
    "Agents started, by what they knew of the prompts before.",
    "memory",
  );
  const prepared = counter(
    "prepared_checkouts_total",
    "Setups of projects that a snapshot saved (hit) or not (miss); results that were kept as a snapshot, or could not be (refused).",
    "outcome",
  );
  const preparedBytes = gauge(
    "prepared_checkouts_bytes",
    "What snapshots of prepared checkouts took on this machine when one was last made or looked for.",
  );
  const available = gauge(
    "agent_available",
    "1 where this process can run the agent, 0 where it lacks something for that.",
    "agent",
  );
  const fenced = counter("fenced_writes_total", "Writes rejected because the run was superseded.");
  const egress = counter(
    "egress_decisions_total",
    "Decisions about what agents asked for on the network.",
    "decision",
  );
  const questions = counter(
    "permission_answers_total",
    "Questions of agents that were answered here, or expired.",
    "decision",
  );
  const answers = histogram(
    "permission_answer_seconds",
    "How long answered questions were open.",
    RUN_BUCKETS,
  );
  const steers = counter("steers_total", "Messages to working agents, by where they went.", "delivered");
  const returns = counter("sandbox_returns_total", "Attempts to return a sandbox.", "outcome");
  const setups = histogram(
    "setup_duration_seconds",
    "Duration of projects' setup commands.",
    RUN_BUCKETS,
    "outcome",
  );
  const redacted = counter(
    "secrets_redacted_total",
    "Values of projects' secrets that were replaced in what agents printed.",
  );
  const refused = counter(
    "work_refused_total",
    "Work that was not kept or not pushed, because its commits have secrets of a project.",
  );
  const tokens = counter("agent_tokens_total", "Tokens reported by agents.", "direction");
  const memory = histogram("run_peak_memory_bytes", "The most memory that a run had.", MEMORY_BUCKETS);
  const processes = histogram("run_peak_processes", "The most processes that a run had.", PROCESS_BUCKETS);
  const cost = counter("agent_cost_usd_total", "Cost reported by agents, in US dollars.");
  return {
    runStarted: () => active.inc(),
    phase: (phase, seconds) => phases.observe({ phase }, seconds),
    runEnded(labels, usage) {
      active.dec();
      runs.inc(labels);
      tokens.inc({ direction: "input" }, usage["reported_input_tokens"] ?? 0);
      tokens.inc({ direction: "output" }, usage["reported_output_tokens"] ?? 0);
      cost.inc(usage["reported_cost_usd"] ?? 0);
      if (usage["peak_memory_bytes"] !== undefined) memory.observe({}, usage["peak_memory_bytes"]);
      if (usage["peak_processes"] !== undefined) processes.observe({}, usage["peak_processes"]);
    },
    takeover: (how) => takeovers.inc({ how }),
    affinity: (outcome) => affinity.inc({ outcome }),
    agentMemory: (kind) => memories.inc({ memory: kind }),
    preparedCheckout(outcome, bytes) {
      prepared.inc({ outcome });
      preparedBytes.set({}, bytes);
    },
    agentsAvailable(agents) {
      for (const one of agents) available.set({ agent: one.name }, one.available ? 1 : 0);
    },
    fencedWrite: () => fenced.inc(),
    permissionAnswered(decision, seconds) {
      questions.inc({ decision });
      answers.observe({}, seconds);
    },
    permissionsExpired: (count) => questions.inc({ decision: "expired" }, count),
    steered: (delivered) => steers.inc({ delivered }),
    egressDecision: (decision) => egress.inc({ decision }),
    sandboxReturn: (outcome) => returns.inc({ outcome }),
    setUp: (outcome, seconds) => setups.observe({ outcome }, seconds),
    secretsRedacted: (count) => redacted.inc({}, count),
    workRefused: () => refused.inc(),
  };
}
