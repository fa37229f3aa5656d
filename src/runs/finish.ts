import type { AgentUsage, AgentVerdict } from "../agents/agent.ts";
import { textEvent } from "../agents/events.ts";
import type { AuditEntry } from "../db/audit-log.ts";
import type { Failure } from "../db/json-columns.ts";
import type { PullRequestMode } from "../db/project-tables.ts";
import type { NewMemory, NewProvenance, RunEnd } from "../lifecycle/end-run.ts";
import type { ClaimedRun } from "../lifecycle/start-run.ts";
import type { EndStatus, Suspension } from "../lifecycle/transitions.ts";
import { noticesText, type ProcessUsage, type WorkResult } from "../sandboxes/sandbox.ts";
import type { RunWriter, WantedPullRequest } from "./writer.ts";

/** What a run used: as its agent reported it, of which no money is made, and as it was measured. */
interface RunUsage {
  reported_turns?: number;
  reported_input_tokens?: number;
  reported_output_tokens?: number;
  reported_cost_usd?: number;
  /** Without the cache of files. */
  peak_memory_bytes?: number;
  /** Threads included. */
  peak_processes?: number;
}

/** How a run ended. */
export interface Outcome {
  status: EndStatus;
  /** A sentence for the user; undefined: there is nothing to explain. */
  reason?: string | undefined;
  kind?: Failure["kind"] | undefined;
  summary: string;
  usage: RunUsage;
  work?: WorkResult | undefined;
  /** Work that has not left, in place of `work` where `reason` tells of it. */
  undelivered?: WorkResult | undefined;
  /** What is signed about the work. */
  provenance?: NewProvenance | undefined;
  memory?: NewMemory | undefined;
  /** It does not end: it waits for its budget. */
  suspends?: Suspension | undefined;
  /** The prompt becomes a dead letter, with this failure as the last piece of evidence. */
  dead?: boolean;
  failure?: Failure;
}

/** What pull request is made of a run's branch; undefined: none, unless a user wants one. */
export type PullRequestOf = (
  run: ClaimedRun,
  /** What the run's project says. Default: as the deployment does. */
  mode?: PullRequestMode | null,
) => WantedPullRequest | undefined;

const LATER = "It is pushed as soon as the host can be reached.";
/** What pushes it waits behind this prompt. */
const LATER_STILL = "It is pushed once the prompt has gone on.";

const hostIsAway = (work: WorkResult | undefined): boolean =>
  work !== undefined && !work.push.pushed && work.push.hostIsAway === true;

/** Appends a message about the outcome and the delivered work, then ends the run. @throws LeaseLost */
export async function finishRun(
  writer: RunWriter,
  run: ClaimedRun,
  outcome: Outcome,
  pullRequestOf?: PullRequestOf,
): Promise<void> {
  const later =
    outcome.status !== "Cancelled" && hostIsAway(outcome.work)
      ? ` ${outcome.suspends ? LATER_STILL : LATER}`
      : "";
  const notes = [
    outcome.reason,
    outcome.work && `${describeWork(run, outcome.work)}${later}`,
    noticesText(outcome.work?.notices ?? []),
  ];
  const done = outcome.work ?? outcome.undelivered;
  const text = notes.filter(Boolean).join("\n\n");
  if (text) await writer.append([textEvent(text)]);
  const pushed = outcome.work?.push.pushed === true && outcome.work.commits > 0;
  const end: RunEnd = {
    status: outcome.status,
    error: outcome.status === "Completed" ? null : (outcome.reason ?? null),
    errorKind: outcome.status === "Failed" ? (outcome.kind ?? "agent") : null,
    usage: { ...outcome.usage },
    content: [outcome.summary, text].filter(Boolean).join("\n\n"),
    dead: outcome.dead ?? false,
    suspends: outcome.suspends,
    failure: outcome.failure,
    memory: outcome.memory,
    commit: outcome.work?.commit,
    startCommit: outcome.work?.start,
    pushed: outcome.work?.push.pushed === true,
    pushLater: hostIsAway(outcome.work),
    provenance: outcome.provenance,
    audit: done && delivery(run, done),
  };
  await writer.finish(end, pushed ? pullRequestOf?.(run) : undefined);
}

/**
 * The usage of this prompt alone: an agent that resumes a conversation reports the cost of the whole conversation.
 * @param peak what was measured while it ran.
 */
export function usageOfPrompt(
  { usage }: AgentVerdict,
  run: ClaimedRun,
  resumed: boolean,
  peak: ProcessUsage["peak"],
): RunUsage {
  // An agent that ended at once was never looked at.
  const measured = {
    ...(peak.memoryBytes > 0 && { peak_memory_bytes: peak.memoryBytes }),
    ...(peak.processes > 0 && { peak_processes: peak.processes }),
  };
  const { cost_usd: cost } = usage;
  const own =
    resumed && cost !== undefined ? { ...usage, cost_usd: Math.max(0, cost - run.earlierCostUsd) } : usage;
  return { ...reported(own), ...measured };
}

const reported = (usage: AgentUsage): RunUsage =>
  Object.fromEntries(Object.entries(usage).map(([name, value]) => [`reported_${name}`, value]));

/** The entry of the audit log for work that left the sandbox, or must not leave it; undefined: there was none. */
function delivery(run: ClaimedRun, work: WorkResult): AuditEntry | undefined {
  const { userId: actor, repo, branch, sessionId: session, promptId: prompt } = run;
  const { commits, head: commit, push } = work;
  const kept = push.pushed ? { to: push.to } : { reason: push.reason, secrets: push.secrets };
  // None of its commits is left that could be named.
  if (isRefused(work))
    return {
      ...{ actor, action: "branch.refuse", target: `prompt:${prompt}` },
      detail: { repo, branch, session, ...kept },
    };
  if (commits === 0) return undefined;
  return {
    actor,
    action: push.pushed ? "branch.push" : "branch.keep",
    target: `branch:${branch}`,
    detail: { repo, commits, commit, session, prompt, ...kept },
  };
}

/** Whether nothing of the work was kept. */
export const isRefused = ({ push }: WorkResult): boolean => !push.pushed && push.refused === true;

/** What became of the work, a sentence for the user. */
export function describeWork(run: ClaimedRun, work: WorkResult): string {
  if (!work.push.pushed && isRefused(work)) return `The work was refused: ${work.push.reason}`;
  if (work.commits === 0)
    return `No changes: branch ${run.branch} has no commit that ${run.targetBranch} lacks.`;
  const commits = work.commits === 1 ? "1 commit" : `${work.commits} commits`;
  if (work.push.pushed) {
    const joined = work.push.joined
      ? " It has been merged with what somebody else had pushed there meanwhile."
      : "";
    const began = work.push.began
      ? ` The repository was empty: ${run.targetBranch} was made there first, of an empty commit.`
      : "";
    return `Branch ${run.branch} (${commits}, tip ${work.head}) was pushed to ${work.push.to}.${joined}${began}`;
  }
  return `Branch ${run.branch} (${commits}, tip ${work.head}) was not pushed: ${work.push.reason}`;
}
