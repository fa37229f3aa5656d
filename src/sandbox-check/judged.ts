import { type Attack, type Attempt, blocked, failed } from "./attack.ts";
import type { Ended } from "./run-inside.ts";

/** What the program itself reported, or what its end says. */
export function judged(
  { id, alone, limitMs }: Pick<Attack, "id" | "alone" | "limitMs">,
  { reports, started, exit, timedOut }: Pick<Ended, "reports" | "started" | "exit" | "timedOut">,
): Attempt {
  const report = reports.get(id);
  if (report) return report;
  const last = exit.stderr.trim().split("\n").at(-1) ?? "";
  if (!started) return failed(`the program did not start: ${last}`);
  if (timedOut && limitMs === undefined) return failed("no answer within the time limit");
  // Others have no reason to be killed.
  if (!alone || exit.code === 0) return failed(`no answer (exit code ${exit.code}): ${last}`);
  return blocked(`the program was killed (exit code ${exit.code})`);
}
