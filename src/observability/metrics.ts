import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

/** Seconds; from a look-up to a slow list. */
const HTTP_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30];
/** Seconds; from a prepared checkout to an agent's long work. */
const RUN_BUCKETS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600];

export type RunPhase = "queue" | "prepare" | "run" | "finish";

/** Of the whole deployment, read from the database when somebody scrapes. */
export interface DomainFigures {
  prompts: Readonly<Record<"queued" | "running", number>>;
  /** Seconds; 0 where none waits. */
  oldestWaiting: number;
  outboxPending: number;
  /** Seconds that the oldest due row waits; 0 where none does. */
  outboxLag: number;
  sandboxesHeld: number;
  /** Held although their session rests. */
  sandboxesReturning: number;
  /** Pending ones, by kind. */
  deadLetters: Readonly<Record<string, number>>;
  /** Of all processes together. */
  databaseConnections: number;
}

/** All metrics of one process. Labels have few values: never an id, a user or a repository. */
export interface Metrics {
  readonly contentType: string;
  /** In Prometheus' text format. Never fails: what cannot be read is left out. */
  text(): Promise<string>;
  request(labels: { method: string; route: string; status: number }, seconds: number): void;
  job(labels: { task: string; outcome: "done" | "failed" }, seconds: number): void;
  published(outcome: "done" | "failed", count: number): void;
  runStarted(): void;
  phase(phase: RunPhase, seconds: number): void;
  runEnded(
    labels: { agent: string; outcome: string; kind: string },
    usage: Readonly<Record<string, number>>,
  ): void;
  takeover(how: "adopted" | "restarted"): void;
  fencedWrite(): void;
  sandboxReturn(outcome: "done" | "failed" | "given_up"): void;
}

/**
 * @param options.domain reads the figures of the whole deployment, with the seconds that the database's smallest query
 * took; without figures where another process shows them, so that a sum over processes is right. Rejects while the database
 * is away. Asked at most every `domainMaxAgeMs` (5 s).
 * @param options.streams how many live streams are open here, and how far behind the last of them is.
 * @param options.poolMax connections that this process has for its own queries; none for the embedded database.
 */
export function createMetrics(options: {
  version: string;
  domain: () => Promise<{ roundTrip: number; figures: DomainFigures | undefined }>;
  domainMaxAgeMs?: number;
  streams?: () => { open: number; behindMs: number };
  poolMax?: number | undefined;
}): Metrics {
  const { version, domain, domainMaxAgeMs = 5_000, streams, poolMax } = options;
  const registry = new Registry();
  /**
   * Left out as a whole while the database is away, as old figures would look like a deployment that stands still, and
   * where another process shows them.
   */
  const domainRegistry = new Registry();
  const named = (name: string) => `prompt_backend_${name}`;
  const counter = <L extends string>(name: string, help: string, ...labelNames: L[]) =>
    new Counter({ name: named(name), help, labelNames, registers: [registry] });
  const histogram = <L extends string>(name: string, help: string, buckets: number[], ...labelNames: L[]) =>
    new Histogram({ name: named(name), help, buckets, labelNames, registers: [registry] });
  const gauge = <L extends string>(name: string, help: string, ...labelNames: L[]) =>
    new Gauge({ name: named(name), help, labelNames, registers: [registry] });
  const everywhere = <L extends string>(name: string, help: string, ...labelNames: L[]) => {
    const text = `${help} Of the whole deployment, shown by one process of it.`;
    return new Gauge({ name: named(name), help: text, labelNames, registers: [domainRegistry] });
  };

  collectDefaultMetrics({ register: registry });
  // Node's own way of measuring them, which Bun has in name alone.
  for (const { name } of registry.getMetricsAsArray())
    if (name.startsWith("nodejs_eventloop")) registry.removeSingleMetric(name);
  const loopLag = gauge("event_loop_lag_seconds", "How late the event loop was when this was read.");
  gauge("build_info", "Always 1; the version is in the label.", "version").set({ version }, 1);
  const requests = histogram(
    "http_request_duration_seconds",
    "Time to the reply's head, by route.",
    HTTP_BUCKETS,
    "method",
    "route",
    "status",
  );
  const jobs = histogram("job_duration_seconds", "Time that a job took.", RUN_BUCKETS, "task", "outcome");
  const publishing = counter("outbox_published_total", "Rows of the outbox handed to the queue.", "outcome");
  const active = gauge("active_runs", "Prompts that this process runs now.");
  const phases = histogram("run_phase_duration_seconds", "Time of a run, by phase.", RUN_BUCKETS, "phase");
  const runs = counter("runs_total", "Runs that ended in this process.", "agent", "outcome", "kind");
  const takeovers = counter("run_takeovers_total", "Runs taken over from a runner that died or left.", "how");
  const fenced = counter("fenced_writes_total", "Writes refused because the run was superseded.");
  const returns = counter("sandbox_returns_total", "Sandboxes given back.", "outcome");
  const tokens = counter("agent_tokens_total", "Tokens that agents reported.", "direction");
  const cost = counter("agent_cost_usd_total", "US dollars that agents reported.");
  let readStreams = () => {};
  if (streams) {
    const open = gauge("streams_open", "Live streams open in this process.");
    const behind = gauge(
      "stream_lag_seconds",
      "Of the stream furthest behind: how long something waits for its reader.",
    );
    readStreams = () => {
      const now = streams();
      open.set(now.open);
      behind.set(now.behindMs / 1000);
    };
  }

  if (poolMax !== undefined)
    gauge("database_pool_size", "Connections that this process may have for its own queries.").set(poolMax);
  const trip = gauge(
    "database_round_trip_seconds",
    "Time that this process last waited for the smallest query; a wait for a free connection included.",
  );
  const up = gauge("database_up", "1 while this process can read the database.");
  const waiting = everywhere("prompts", "Prompts that are not finished.", "status");
  const oldest = everywhere(
    "oldest_waiting_prompt_age_seconds",
    "Age of the oldest prompt that could run and waits.",
  );
  const pending = everywhere("outbox_pending", "Rows of the outbox that are due.");
  const lag = everywhere("outbox_lag_seconds", "How long the oldest due row of the outbox waits.");
  const held = everywhere("sandboxes_held", "Sandboxes held by sessions.");
  const returning = everywhere("sandboxes_returning", "Sandboxes held by sessions that are at rest.");
  const dead = everywhere("dead_letters", "Dead letters that wait for somebody.", "kind");
  const connections = everywhere("database_connections", "Connections of all processes together.");

  let readAt = Number.NEGATIVE_INFINITY;
  let shown = false;
  const refresh = async (): Promise<boolean> => {
    if (performance.now() - readAt < domainMaxAgeMs) return true;
    try {
      const { roundTrip, figures } = await domain();
      trip.set(roundTrip);
      readAt = performance.now();
      shown = figures !== undefined;
      if (!figures) return true;
      domainRegistry.resetMetrics();
      waiting.set({ status: "queued" }, figures.prompts.queued);
      waiting.set({ status: "running" }, figures.prompts.running);
      oldest.set(figures.oldestWaiting);
      pending.set(figures.outboxPending);
      lag.set(figures.outboxLag);
      held.set(figures.sandboxesHeld);
      returning.set(figures.sandboxesReturning);
      for (const [kind, count] of Object.entries(figures.deadLetters)) dead.set({ kind }, count);
      connections.set(figures.databaseConnections);
      return true;
    } catch {
      return false;
    }
  };

  return {
    contentType: registry.contentType,
    async text() {
      const before = performance.now();
      await new Promise(setImmediate);
      loopLag.set((performance.now() - before) / 1000);
      readStreams();
      const known = await refresh();
      up.set(known ? 1 : 0);
      const own = await registry.metrics();
      return known && shown ? `${own}\n${await domainRegistry.metrics()}` : own;
    },
    request: ({ method, route, status }, seconds) =>
      requests.observe({ method, route, status: `${Math.floor(status / 100)}xx` }, seconds),
    job: (labels, seconds) => jobs.observe(labels, seconds),
    published: (outcome, count) => publishing.inc({ outcome }, count),
    runStarted: () => active.inc(),
    phase: (phase, seconds) => phases.observe({ phase }, seconds),
    runEnded(labels, usage) {
      active.dec();
      runs.inc(labels);
      tokens.inc({ direction: "input" }, usage["input_tokens"] ?? 0);
      tokens.inc({ direction: "output" }, usage["output_tokens"] ?? 0);
      cost.inc(usage["cost_usd"] ?? 0);
    },
    takeover: (how) => takeovers.inc({ how }),
    fencedWrite: () => fenced.inc(),
    sandboxReturn: (outcome) => returns.inc({ outcome }),
  };
}
