import { sql } from "drizzle-orm";
import { type Orm, rowsOf } from "./client.ts";

export interface Probe {
  /** As the server reports it, e.g. 17.2. */
  version: string;
  /** The fastest of several round trips, milliseconds. */
  latencyMs: number;
  /** How far this machine's clock is ahead of the database's, milliseconds. */
  offsetMs: number;
}

const TRIPS = 5;

/** Measures the latency and clock of the database. The fastest round trip gives the most precise offset. */
export async function probe(orm: Orm): Promise<Probe> {
  let best: Probe | undefined;
  for (let trip = 0; trip < TRIPS; trip += 1) {
    const [from, started] = [Date.now(), performance.now()];
    const [row] = await rowsOf<{ version: string; now: string | number }>(
      orm,
      sql`select current_setting('server_version') as version, extract(epoch from clock_timestamp()) * 1000 as now`,
    );
    const latencyMs = performance.now() - started;
    if (row && (!best || latencyMs < best.latencyMs))
      best = {
        version: row.version.split(" ")[0] ?? "",
        latencyMs,
        offsetMs: from + latencyMs / 2 - Number(row.now),
      };
  }
  if (!best) throw new Error("the database did not answer");
  return best;
}
