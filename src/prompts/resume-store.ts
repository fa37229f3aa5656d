import { eq, sql } from "drizzle-orm";
import { recordAudit } from "../db/audit-log.ts";
import { type Orm, rowsOf } from "../db/client.ts";
import { prompt } from "../db/tables.ts";
import { reopenSession } from "../lifecycle/archive.ts";
import { endWait } from "../lifecycle/end-wait.ts";
import { lockOwnPrompt } from "../lifecycle/ownership.ts";
import { AppError } from "../shared/errors.ts";
import { NANO, usdText } from "../spend/money.ts";

/** A day's or a month's budget begins anew sooner; a prompt's own never does. */
const YEAR_MS = 366 * 86_400_000;

/**
 * Raises the budget of a prompt that waits for it, and has it go on.
 * @param wanted.usd what its run may cost in all, US dollars.
 * @throws AppError `prompt_not_found`, `budget_not_awaited`, `budget_too_low`
 */
export async function resumePrompt(
  orm: Orm,
  wanted: { userId: string; id: string; usd: number },
): Promise<void> {
  await orm.transaction(async (tx) => {
    const row = await lockOwnPrompt(tx, wanted);
    if (row.waitingFor !== "budget")
      throw new AppError(
        "budget_not_awaited",
        `The prompt is ${row.status} and does not wait for its budget. Send a follow-up to have more done.`,
      );
    // Another one than its own begins anew: raising this one would help nothing, and stay raised.
    if (row.notBefore && row.notBefore.getTime() < Date.now() + YEAR_MS)
      throw new AppError(
        "budget_not_awaited",
        `The prompt waits for a budget that is not its own, and goes on by itself after ${row.notBefore.toISOString()}. POST /prompts/${row.id}/retry tries it now.`,
      );
    const budget = Math.round(wanted.usd * NANO);
    const [used] = await rowsOf<{ spent: number }>(
      tx,
      sql`select spent::float8 from spend where scope = 'run' and subject = ${row.id}`,
    );
    const spent = used?.spent ?? 0;
    if (budget <= spent)
      throw new AppError(
        "budget_too_low",
        `budget_usd: must be more than the ${usdText(spent)} that the prompt has cost already: it is what it may cost in all.`,
      );
    await tx.update(prompt).set({ budget }).where(eq(prompt.id, row.id));
    await endWait(tx, row);
    // As a follow-up does: who goes on with it wants to see it.
    await reopenSession(tx, row.sessionId);
    await recordAudit(tx, {
      actor: wanted.userId,
      action: "prompt.resume",
      target: `prompt:${row.id}`,
      detail: { session: row.sessionId, budget_usd: wanted.usd, spent_usd: spent / NANO },
    });
  });
}
