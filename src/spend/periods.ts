import type { Scope } from "./store.ts";

/** When the budget of a scope begins anew; undefined: never. Days and months are those of UTC. */
export function resetOf(scope: Scope, now: Date): Date | undefined {
  const [year, month] = [now.getUTCFullYear(), now.getUTCMonth()];
  if (scope === "user_month") return new Date(Date.UTC(year, month + 1, 1));
  if (scope === "user_day" || scope === "deployment_day")
    return new Date(Date.UTC(year, month, now.getUTCDate() + 1));
  return undefined;
}
