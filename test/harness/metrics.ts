import { createMetrics, type Metrics } from "../../src/observability/metrics.ts";

let shared: Metrics | undefined;

/** Metrics for tests that do not read them; one registry for all. */
export function noMetrics(): Metrics {
  shared ??= createMetrics({
    version: "0",
    deployment: () => Promise.reject(new Error("there is no database")),
  });
  return shared;
}
