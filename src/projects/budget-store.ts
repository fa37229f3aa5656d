import { and, eq } from "drizzle-orm";
import type { Queryable } from "../db/client.ts";
import { project } from "../db/project-tables.ts";
import { AppError } from "../shared/errors.ts";
import { NANO, usdText } from "../spend/money.ts";

/**
 * Refuses a prompt's own budget that is above the one of its repository's project.
 * @param wanted.budget in billionths of a US dollar. Undefined: it has none of its own.
 * @throws AppError `budget_too_high`
 */
export async function requireProjectBudget(
  orm: Queryable,
  { userId, repoKey, budget }: { userId: string; repoKey: string; budget: number | undefined },
): Promise<void> {
  if (budget === undefined) return;
  const [found] = await orm
    .select({ usd: project.budgetUsd })
    .from(project)
    .where(and(eq(project.userId, userId), eq(project.repoKey, repoKey)));
  const most = found?.usd == null ? undefined : Math.round(found.usd * NANO);
  if (most !== undefined && budget > most)
    throw new AppError(
      "budget_too_high",
      `budget_usd: a prompt may cost at most ${usdText(most)} by its repository's project; send it with that or less, or change the project.`,
    );
}
