import type { AgentIdentity } from "../agents/agent.ts";
import { promptText } from "../agents/prompt-text.ts";
import type { NewProvenance } from "../lifecycle/end-run.ts";
import type { ClaimedRun } from "../lifecycle/start-run.ts";
import type { WorkResult } from "../sandboxes/sandbox.ts";
import { sealEnvelope } from "./envelope.ts";
import type { SigningKey } from "./key.ts";
import { sha256, writeStatement } from "./statement.ts";

/** What worked on a prompt. */
export interface RunAgent extends AgentIdentity {
  name: string;
}

/**
 * Signs what a run has done, at its end: what is signed later could have been changed before, by whoever can write to the
 * database. Undefined: the run has made no commits.
 */
export type Attest = (
  run: ClaimedRun,
  agent: RunAgent,
  end: { work: Pick<WorkResult, "start" | "added">; usage: Readonly<Record<string, number>> },
) => NewProvenance | undefined;

/** @param options.url where the deployment is reached; undefined: its key is its name. */
export function createAttest(options: { key: SigningKey; version: string; url: string | undefined }): Attest {
  const { key, version, url } = options;
  const builder = { id: url ?? `urn:prompt-backend:${key.id}`, version };
  return (run, agent, { work: { start, added }, usage }) => {
    if (added.count === 0) return undefined;
    const { promptId, authorName: name, authorEmail: email } = run;
    const statement = writeStatement({
      parameters: {
        repository: run.repo,
        targetBranch: run.targetBranch,
        branch: run.branch,
        session: run.sessionId,
        prompt: { id: promptId, sha256: sha256(promptText(run.data)) },
        requestedBy: { id: run.userId, ...(name !== null && { name }), ...(email !== null && { email }) },
      },
      agent,
      builder,
      metadata: {
        invocationId: `${promptId}/${run.epoch}`,
        startedOn: run.startedAt,
        finishedOn: new Date().toISOString(),
      },
      start,
      commits: added.ids,
      usage: { commits: added.count, ...usage },
    });
    return { keyId: key.id, envelope: sealEnvelope(statement, key) };
  };
}
