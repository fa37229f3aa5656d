import type { Scenario } from "../scenario.ts";
import { scenario as http } from "./http.ts";

/** In the order of docs/PERFORMANCE.md. */
export const scenarios: readonly Scenario[] = [http];
