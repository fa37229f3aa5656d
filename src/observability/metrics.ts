import { type Counter, collectDefaultMetrics, type Registry } from "prom-client";
import { createDeploymentGauges, type ReadDeployment } from "./deployment-gauges.ts";
import { createRegistry } from "./registry.ts";
import { requestDurations } from "./request-durations.ts";
import { createRunMetrics, RUN_BUCKETS, type RunMetrics } from "./run-metrics.ts";
import { createSpendMetrics, type SpendMetrics } from "./spend-metrics.ts";

export type { RunPhase } from "./run-metrics.ts";

const DAY_MS = 86_400_000;

/** All metrics of one process. Labels have few values: never an id, a user or a repository. */
export interface Metrics extends RunMetrics, SpendMetrics {
  readonly contentType: string;
  /** The Prometheus text format. Never rejects: what cannot be read is left out. */
  text(): Promise<string>;
  request(labels: { method: string; route: string; status: number }, seconds: number): void;
  job(labels: { task: string; outcome: "done" | "failed" }, seconds: number): void;
  published(outcome: "done" | "failed", count: number): void;
  effectEnded(kind: string, outcome: "done" | "failed"): void;
}

/**
 * @param options.deployment reads the state of the whole deployment.
 * @param options.deploymentMaxAgeMs how long one such reading is reused (default 5 s).
 * @param options.streams number of live streams open in this process, and the lag of the slowest one.
 * @param options.poolMax size of this process's connection pool; undefined for the embedded database.
 */
export function createMetrics(options: {
  version: string;
  deployment: ReadDeployment;
  deploymentMaxAgeMs?: number;
  streams?: () => { open: number; behindMs: number };
  poolMax?: number | undefined;
}): Metrics {
  const own = createRegistry();
  const { registry, counter, gauge, histogram } = own;
  const deployment = createDeploymentGauges(options.deployment, options.deploymentMaxAgeMs ?? 5_000);

  const loopLag = gauge("event_loop_lag_seconds", "Delay of the event loop during this scrape.");
  gauge("build_info", "Always 1; the label has the version.", "version").set({ version: options.version }, 1);

  const request = requestDurations(
    registry,
    "prompt_backend_http_request_duration_seconds",
    "Time until the response headers, by route.",
  );
  const jobs = histogram("job_duration_seconds", "Duration of a job.", RUN_BUCKETS, "task", "outcome");
  const published = counter("outbox_published_total", "Outbox rows sent to the queue.", "outcome");
  const effects = counter(
    "effects_total",
    "Pushes, pull requests and merges that ended in this process.",
    "kind",
    "outcome",
  );
  const { refresh: readSpend, ...spend } = createSpendMetrics(own);
  const readStreams = options.streams && streamGauges(own, options.streams);

  if (options.poolMax !== undefined)
    gauge("database_pool_size", "Maximum connections of this process's pool.").set(options.poolMax);
  const roundTrip = gauge(
    "database_round_trip_seconds",
    "Duration of a trivial query, including the wait for a free connection.",
  );
  const up = gauge("database_up", "1 while this process can read the database.");

  let complete = false;
  return {
    ...createRunMetrics(own),
    ...spend,
    contentType: registry.contentType,
    async text() {
      // Registering them goes through the whole heap, for 7 ms or more, which a start does not wait for.
      if (!complete) addProcessMetrics(registry);
      complete = true;
      const before = performance.now();
      await new Promise(setImmediate);
      loopLag.set((performance.now() - before) / 1000);
      readStreams?.();
      readSpend();
      const available = await deployment.refresh();
      up.set(available ? 1 : 0);
      roundTrip.set(deployment.roundTrip() ?? 0);
      const text = await registry.metrics();
      return available ? `${text}\n${await deployment.text()}` : text;
    },
    request,
    job: (labels, seconds) => jobs.observe(labels, seconds),
    published: (outcome, count) => published.inc({ outcome }, count),
    effectEnded: (kind, outcome) => effects.inc({ kind, outcome }),
  };
}

function addProcessMetrics(registry: Registry): void {
  const { user, system } = process.cpuUsage();
  // Its monitor of the event loop would wake this process every 10 ms: 1 % of a core.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: DAY_MS });
  // They rely on Node's perf_hooks, which Bun has in name only (seen in Bun 1.4.5).
  for (const { name } of registry.getMetricsAsArray())
    if (name.startsWith("nodejs_eventloop")) registry.removeSingleMetric(name);
  // They count from now on.
  const before = { user_: user, system_: system, "": user + system };
  for (const [kind, micros] of Object.entries(before))
    (registry.getSingleMetric(`process_cpu_${kind}seconds_total`) as Counter).inc(micros / 1e6);
}

/** @returns what updates them. */
function streamGauges(
  { gauge }: ReturnType<typeof createRegistry>,
  streams: () => { open: number; behindMs: number },
): () => void {
  const open = gauge("streams_open", "Live streams open in this process.");
  const lag = gauge(
    "stream_lag_seconds",
    "Lag of the slowest live stream: how long its reader has left data waiting.",
  );
  return () => {
    const now = streams();
    open.set(now.open);
    lag.set(now.behindMs / 1000);
  };
}
