import type { AgentUsage, AgentVerdict } from "../agents/agent.ts";
import { textEvent } from "../agents/events.ts";
import type { Orm } from "../db/client.ts";
import type { Failure } from "../db/json-columns.ts";
import { persistently } from "../db/retry-while-unavailable.ts";
import type { WorkResult } from "../sandboxes/sandbox.ts";
import { costOfOthers } from "./claim-store.ts";
import { finishRun, hasFinished } from "./end-store.ts";
import { type ClaimedRun, LeaseLost } from "./run.ts";
import { appendMessages } from "./store.ts";

/** How a run ended, for its user to read and for the session to show. */
export interface Outcome {
  status: "Completed" | "Failed" | "Cancelled";
  /** Why, in a sentence; undefined: there is nothing to say. */
  reason?: string | undefined;
  kind?: Failure["kind"] | undefined;
  summary: string;
  usage: AgentUsage;
  work?: WorkResult | undefined;
  /** Given up: to the dead letters. */
  dead?: boolean;
}

/** Says in the session how the run ended, then ends it. @throws LeaseLost */
export async function conclude(
  orm: Orm,
  run: ClaimedRun,
  outcome: Outcome,
  signal: AbortSignal,
): Promise<void> {
  const notes = [outcome.reason, outcome.work && describeWork(run, outcome.work)];
  const text = notes.filter(Boolean).join("\n\n");
  if (text) await persistently(signal, () => appendMessages(orm, run, [textEvent(text)]));
  let tried = false;
  await persistently(signal, async () => {
    try {
      await finishRun(orm, run, {
        status: outcome.status,
        error: outcome.status === "Completed" ? null : (outcome.reason ?? null),
        errorKind: outcome.status === "Failed" ? (outcome.kind ?? "agent") : null,
        usage: { ...outcome.usage },
        content: [outcome.summary, text].filter(Boolean).join("\n\n"),
        dead: outcome.dead ?? false,
      });
    } catch (error) {
      // The first try may have done it, and only its answer was lost.
      if (error instanceof LeaseLost && tried && (await hasFinished(orm, run))) return;
      tried = true;
      throw error;
    }
  });
}

/** An agent that resumes a conversation counts its cost from the conversation's beginning; a prompt has its own. */
export async function ownUsage(orm: Orm, run: ClaimedRun, verdict: AgentVerdict): Promise<AgentUsage> {
  const { cost_usd } = verdict.usage;
  if (cost_usd === undefined) return verdict.usage;
  return { ...verdict.usage, cost_usd: Math.max(0, cost_usd - (await costOfOthers(orm, run))) };
}

function describeWork(run: ClaimedRun, work: WorkResult): string {
  if (work.commits === 0)
    return `Nothing was changed: branch ${run.branch} has no commit that ${run.targetBranch} lacks.`;
  const commits = work.commits === 1 ? "1 commit" : `${work.commits} commits`;
  if (work.push.pushed)
    return `Branch ${run.branch} (${commits}, tip ${work.head}) was pushed to ${work.push.to}.`;
  return `Branch ${run.branch} (${commits}, tip ${work.head}) was not pushed: ${work.push.reason}`;
}
