import { stat } from "node:fs/promises";
import type { AgentProcess } from "../db/json-columns.ts";
import type { SandboxProcess } from "../sandboxes/sandbox.ts";

/**
 * An agent whose output kills each runner that reads it must not be adopted for ever. The rule: a takeover has made no
 * progress if, since the takeover before it of the same process,
 *  - nothing of the output was stored, although there is output that is not stored: a quiet agent cannot be the cause; and
 *  - the runner between neither lived for `CALM_MS` nor left in order (it would have recorded that: `RunWriter.recordCalm`).
 * After `MAX_STALLS` of those in a row (see failures.ts) the agent is killed and its prompt becomes a dead letter.
 */

/** A runner that lives this long after an adoption is not killed by what it reads, milliseconds. */
export const CALM_MS = 60_000;

export const STALLED =
  "The service died several times while it read the agent's output, without storing any of it; the agent was stopped.";

/** The record of a process that is being adopted now, with this takeover counted. @param stored bytes of its output. */
export async function afterAdoption(
  { process, record }: { process: Pick<SandboxProcess, "output">; record: AgentProcess },
  stored: number,
): Promise<AgentProcess> {
  const size = await stat(process.output).then(
    (found) => found.size,
    () => 0,
  );
  const stalled = record.adoptedAt === stored && size > stored;
  return { ...record, adoptedAt: stored, stalls: stalled ? (record.stalls ?? 0) + 1 : 0 };
}
