import type { Scenario } from "../scenario.ts";
import { scenario as checkout } from "./checkout.ts";
import { scenario as claims } from "./claims.ts";
import { scenario as dispatch } from "./dispatch.ts";
import { scenario as drivers } from "./drivers.ts";
import { scenario as http } from "./http.ts";
import { scenario as idle } from "./idle.ts";
import { scenario as ingest } from "./ingest.ts";
import { scenario as large } from "./large.ts";
import { scenario as models } from "./models.ts";
import { scenario as start } from "./start.ts";
import { scenario as streams } from "./streams.ts";

/** In the order of docs/PERFORMANCE.md. */
export const scenarios: readonly Scenario[] = [
  http,
  claims,
  dispatch,
  checkout,
  ingest,
  streams,
  drivers,
  models,
  start,
  idle,
  large,
];
