import { type SQL, sql } from "drizzle-orm";
import { phaseStart } from "../db/columns.ts";
import { prompt } from "../db/tables.ts";

/** The phases of a prompt are written with what changes anyway when they begin, never by a write of their own. */

/** A run begins, after a wait or by a takeover. Pushes and syncs have nothing to prepare. */
export const runBegins: SQL = sql`case when status = 'Queued' then phases else '[]'::jsonb end
    || case when kind = 'agent' then ${phaseStart("preparing")} else ${phaseStart("working")} end`;

/** The next phase of a run. An agent that is started again in the same run does not begin another. */
export const nextPhase = (name: "working" | "delivering"): SQL =>
  sql`${prompt.phases} || case when ${prompt.phases} -> -1 ->> 'name' = ${name} then '[]'::jsonb else ${phaseStart(name)} end`;
