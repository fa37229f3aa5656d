import { createRegistry } from "./registry.ts";

/** State of the whole deployment, read from the database on a scrape. */
export interface DeploymentMetrics {
  prompts: Readonly<Record<"queued" | "running", number>>;
  /** Age in seconds of the oldest prompt that could run; 0 when none waits. */
  oldestWaiting: number;
  /** Prompts that wait for something else than their turn, by what it is. */
  waiting: Readonly<Record<string, number>>;
  outboxPending: number;
  /** Age in seconds of the oldest due outbox row; 0 when there is none. */
  outboxLag: number;
  sandboxesHeld: number;
  /** Held although the session is idle. */
  sandboxesReturning: number;
  /** Pending ones, by failure kind. */
  deadLetters: Readonly<Record<string, number>>;
  /** Those that have not ended. */
  effects: readonly { kind: string; status: string; count: number }[];
  /** For how long the first effect that is due has been so, seconds; 0 when none is. */
  effectsLag: number;
  /** What model calls have cost since midnight UTC, and what is kept free for those that are under way, US dollars. */
  modelSpend: { today: number; reserved: number };
  /** Of each API that was called: calls that are under way, and for how many seconds none begins, because it is overloaded. */
  modelApis: readonly { api: string; open: number; backOff: number }[];
  /** Connections of all processes together. */
  databaseConnections: number;
}

/** Reads the database on a scrape. Rejects while it is unavailable. */
export type ReadDeployment = () => Promise<{
  /** Seconds that a trivial query took. */
  roundTrip: number;
  /** Undefined when another process exports them, so that summing over processes stays correct. */
  deployment: DeploymentMetrics | undefined;
}>;

/**
 * Gauges of the whole deployment, in a registry of their own. It is left out of a scrape as a whole while the database is
 * unavailable: stale values would look like an idle deployment.
 * @param maxAgeMs how long one reading is reused.
 */
export function createDeploymentGauges(read: ReadDeployment, maxAgeMs: number) {
  const { registry, gauge } = createRegistry(" Covers the whole deployment; exported by one process.");
  const prompts = gauge("prompts", "Prompts that are queued, and those that run.", "status");
  const oldest = gauge("oldest_waiting_prompt_age_seconds", "Age of the oldest prompt that is ready to run.");
  const waiting = gauge(
    "prompts_waiting",
    "Prompts that are tried again later, by what they wait for.",
    "for",
  );
  const pending = gauge("outbox_pending", "Outbox rows that are due.");
  const lag = gauge("outbox_lag_seconds", "Age of the oldest due outbox row.");
  const held = gauge("sandboxes_held", "Sandboxes held by sessions.");
  const returning = gauge("sandboxes_returning", "Sandboxes held by idle sessions.");
  const deadLetters = gauge("dead_letters", "Pending dead letters.", "kind");
  const effects = gauge(
    "effects_unfinished",
    "Pushes, pull requests and merges that are intended, or begun with an uncertain result.",
    "kind",
    "status",
  );
  const effectsLag = gauge(
    "effects_lag_seconds",
    "How long the first effect that is due has been waiting for an effect-runner.",
  );
  const spentToday = gauge(
    "model_spent_today_usd",
    "What model calls have cost since midnight UTC, in US dollars.",
  );
  const reserved = gauge(
    "model_reserved_usd",
    "What is reserved for model calls that are under way, in US dollars.",
  );
  const openCalls = gauge("model_calls_open", "Model calls that are under way.", "api");
  const backOff = gauge(
    "model_back_off_seconds",
    "For how long no call of a model API begins, because it said that it is overloaded; 0 if it is not.",
    "api",
  );
  const connections = gauge("database_connections", "Database connections of all processes.");

  let readAt = Number.NEGATIVE_INFINITY;
  let roundTrip: number | undefined;
  let exported = false;

  return {
    /** Seconds that the last successful reading waited for a trivial query. */
    roundTrip: () => roundTrip,
    /** Reads again when the last reading is too old. @returns whether the database can be read. */
    async refresh(): Promise<boolean> {
      if (performance.now() - readAt < maxAgeMs) return true;
      try {
        const reading = await read();
        roundTrip = reading.roundTrip;
        readAt = performance.now();
        const now = reading.deployment;
        exported = now !== undefined;
        if (!now) return true;
        registry.resetMetrics();
        prompts.set({ status: "queued" }, now.prompts.queued);
        prompts.set({ status: "running" }, now.prompts.running);
        oldest.set(now.oldestWaiting);
        for (const [cause, count] of Object.entries(now.waiting)) waiting.set({ for: cause }, count);
        pending.set(now.outboxPending);
        lag.set(now.outboxLag);
        held.set(now.sandboxesHeld);
        returning.set(now.sandboxesReturning);
        for (const [kind, count] of Object.entries(now.deadLetters)) deadLetters.set({ kind }, count);
        for (const { kind, status, count } of now.effects) effects.set({ kind, status }, count);
        effectsLag.set(now.effectsLag);
        spentToday.set(now.modelSpend.today);
        reserved.set(now.modelSpend.reserved);
        for (const { api, open, backOff: seconds } of now.modelApis) {
          openCalls.set({ api }, open);
          backOff.set({ api }, seconds);
        }
        connections.set(now.databaseConnections);
        return true;
      } catch {
        return false;
      }
    },
    /** Empty when another process exports them. */
    text: async () => (exported ? await registry.metrics() : ""),
  };
}
