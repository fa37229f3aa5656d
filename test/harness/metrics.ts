import { createMetrics, type Metrics } from "../../src/observability/metrics.ts";

/** Metrics of nothing in particular, for parts that must have some. */
export const noMetrics = (): Metrics =>
  createMetrics({ version: "0", domain: () => Promise.reject(new Error("there is no database")) });
