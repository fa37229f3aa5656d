import type { Scenario } from "../scenario.ts";

/** In the order of docs/PERFORMANCE.md. */
export const scenarios: readonly Scenario[] = [];
