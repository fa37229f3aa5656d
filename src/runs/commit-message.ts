import { promptText } from "../agents/prompt-text.ts";
import type { ClaimedRun } from "../lifecycle/start-run.ts";
import type { Redactor } from "../projects/redact.ts";
import type { RunAgent } from "../provenance/attest.ts";

const MAX_TITLE = 72;
/** What tells git that the message is over, or that a line is a comment: then it would not find the trailers below. */
const NOT_A_TITLE = /^(?:[#\s]|-{3})+/;

/** Of the commit that is made of what an agent has left uncommitted. Its trailers are found by `git interpret-trailers`. */
export function commitMessage(run: ClaimedRun, agent: RunAgent, redactor?: Redactor): string {
  const version = agent.version === undefined ? "" : `/${agent.version}`;
  const text = promptText(run.data);
  // Whole: a title that was cut would have half a secret.
  return withTrailers(titleOf(redactor?.text(text) ?? text), run, [`Agent: ${agent.name}${version}`]);
}

/** Of the commit that merges the target branch into the session's, without an agent. */
export const mergeMessage = (run: ClaimedRun): string =>
  withTrailers(`Merge branch '${run.targetBranch}' into ${run.branch}`, run, []);

function withTrailers(title: string, run: ClaimedRun, more: readonly string[]): string {
  const { sessionId, promptId, authorName, authorEmail } = run;
  const trailers = [
    `Session: ${sessionId}`,
    `Prompt: ${promptId}`,
    ...more,
    ...(authorName !== null && authorEmail !== null
      ? [`Co-authored-by: ${authorName} <${authorEmail}>`]
      : []),
  ];
  return `${title}\n\n${trailers.map(oneLine).join("\n")}\n`;
}

function titleOf(text: string): string {
  const [first = ""] = text.trim().split("\n");
  const title = oneLine(first).replace(NOT_A_TITLE, "").slice(0, MAX_TITLE);
  return title.toWellFormed().trim() || "Work of the agent";
}

/** git ends lines at line feeds only; others see more ends, and terminals obey control characters. */
const oneLine = (text: string) => text.replace(/[\p{Cc}\u2028\u2029]+/gu, " ");
