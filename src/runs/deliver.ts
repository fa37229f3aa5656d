import type { AgentProcess } from "../db/json-columns.ts";
import type { ClaimedRun } from "../lifecycle/start-run.ts";
import type { Logger } from "../observability/logger.ts";
import type { Redactor } from "../projects/redact.ts";
import type { RunAgent } from "../provenance/attest.ts";
import type { Sandbox, WorkResult } from "../sandboxes/sandbox.ts";
import { messageOf } from "../shared/errors.ts";
import { sleep } from "../shared/time.ts";
import { commitMessage } from "./commit-message.ts";
import { AgentKilled, backoffMs, classify, DISK_WAS_FULL, Interrupted } from "./failures.ts";
import { Outage, outageOf } from "./outages.ts";
import { untilIsolated } from "./until-isolated.ts";
import type { RunWriter } from "./writer.ts";

/** The pauses between them take about four minutes: for what this machine lacks. */
const MAX_DELIVERIES = 8;
/** For what does not answer: a few seconds, then the run waits without a slot. */
const QUICK_DELIVERIES = 3;

/**
 * Delivers the work to its branch, after recording that work may leave the sandbox from now on. Transient failures are
 * retried here: another attempt of the prompt would repeat the work on top of what the first has delivered. A git host that
 * does not answer is none of them: the work is kept, and pushed later.
 * @throws Outage while the sandbox does not answer; the next runner continues. Interrupted when the tries are used up.
 *   AgentKilled when the disk has lost the work before any of it left the sandbox. What is not transient, or the last error
 *   of a cancelled run, as it is.
 * @param options.mayStartOver whether the run may begin anew: it has reached no limit.
 * @param options.life ends a pause between two tries at once; the next runner continues.
 * @param options.cancelled ends a pause, too; delivery is then tried one last time.
 */
export async function deliver(options: {
  writer: RunWriter;
  run: ClaimedRun;
  agent: RunAgent;
  redactor?: Redactor | undefined;
  sandbox: Sandbox;
  record: AgentProcess;
  mayStartOver: boolean;
  life: AbortSignal;
  cancelled: AbortSignal;
  logger: Logger;
}): Promise<WorkResult> {
  const { writer, run, agent, redactor, sandbox, record, mayStartOver, life, cancelled, logger } = options;
  // How far an earlier runner came is unknown.
  let mayHaveLeft = record.delivering === true;
  await writer.markDelivering(record);
  for (let tries = 1; ; tries += 1) {
    const last = tries >= MAX_DELIVERIES || cancelled.aborted;
    let leaves = false;
    const onImport = () => {
      leaves = true;
    };
    try {
      const work = () => sandbox.deliverWork(commitMessage(run, agent, redactor), life, onImport);
      return await untilIsolated(work, { writer, logger, life, cancelled });
    } catch (error) {
      life.throwIfAborted();
      if (last && cancelled.aborted) throw error;
      // What cannot be read because it is lost, no other try finds.
      const lost = !leaves && !(await sandbox.intact());
      if (lost && mayStartOver && !mayHaveLeft) throw new AgentKilled(DISK_WAS_FULL);
      if (!lost && classify(error).kind !== "transient") throw error;
      // A part of the work may be kept or pushed: a new attempt would do it a second time, on top of the first.
      const outage = outageOf(error);
      if (!lost && outage && tries >= QUICK_DELIVERIES)
        throw new Outage(undelivered(run, outage.message), outage.outageCause, {
          cause: error,
          keepsSandbox: true,
        });
      if (lost || last)
        throw new Interrupted(`${undelivered(run, classify(error).message)} ${CHECK}`, { cause: error });
      logger.warn("delivery failed, will retry", { tries, error: messageOf(error) });
      mayHaveLeft ||= leaves;
      await pause(backoffMs(tries), life, cancelled);
    }
  }
}

const undelivered = ({ branch }: ClaimedRun, why: string) =>
  `The work could not be delivered to branch ${branch}: ${why}`;
const CHECK = "Check what has arrived there, then send the prompt again.";

/** @throws what `life` aborted with. */
async function pause(ms: number, life: AbortSignal, cancelled: AbortSignal): Promise<void> {
  await sleep(ms, AbortSignal.any([life, cancelled])).catch(() => life.throwIfAborted());
}
