import { createMetrics, type Metrics } from "../../src/observability/metrics.ts";

let shared: Metrics | undefined;

/** Metrics of nothing in particular, for parts that must have some; the same for all of them. */
export function noMetrics(): Metrics {
  shared ??= createMetrics({
    version: "0",
    deployment: () => Promise.reject(new Error("there is no database")),
  });
  return shared;
}
