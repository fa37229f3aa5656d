import type { AgentCatalog } from "../agents/catalog.ts";
import type { Orm } from "../db/client.ts";
import type { AgentReport } from "../db/json-columns.ts";
import { hasAgentReports, purgeOldReports, writeAgentReports } from "../db/worker-agents.ts";
import { endAgentWaits } from "../lifecycle/await-agents.ts";
import type { Logger } from "../observability/logger.ts";
import type { Metrics } from "../observability/metrics.ts";
import { messageOf } from "../shared/errors.ts";

/** After so many heartbeats this machine is looked at anew, because something may have been installed or removed. */
const LOOK_EVERY = 6;
/** How often a report is repeated that has not changed: well within the day for which it is known. */
const REPEAT_MS = 3_600_000;

/** Reports the agents of this process to all others, with its heartbeats: only what has changed, or has not been said for long. */
export function openAgentReports(options: {
  orm: Orm;
  /** As in the heartbeats. */
  process: string;
  host: string;
  agents: AgentCatalog;
  metrics: Pick<Metrics, "agentsAvailable">;
  logger: Logger;
}) {
  const { orm, process, host, agents, metrics, logger } = options;
  const closed = new AbortController();
  let beats = 0;
  let written: { text: string; at: number } | undefined;
  /** Workers that wait for a first heartbeat have an agent from then on. */
  let announced = false;

  const write = async (): Promise<boolean> => {
    const entries = agents.list();
    metrics.agentsAvailable(entries);
    const reports = Object.fromEntries(
      entries.map(({ name, modelApi, maxTurns, models, modes, ...one }): [string, AgentReport] => [
        name,
        { ...one, models: [...models], modes: [...modes], model_api: modelApi, max_turns: maxTurns },
      ]),
    );
    const text = JSON.stringify(reports);
    const now = performance.now();
    const isSaid = text === written?.text && now - written.at < REPEAT_MS;
    if (isSaid && (await hasAgentReports(orm, process))) return false;
    await writeAgentReports(orm, { process, host, reports });
    written = { text, at: now };
    return true;
  };
  let changed = false;
  void agents.findVersions(closed.signal).then(() => {
    changed = true;
  });

  return {
    /** Reports what there is now. A failure is repeated with the heartbeats. */
    async write() {
      await write().catch((error) =>
        logger.warn("the agents of this machine could not be reported", { error: messageOf(error) }),
      );
    },
    async afterBeat() {
      const look = beats % LOOK_EVERY === 0 || changed || written === undefined;
      beats += 1;
      if (!look) return;
      changed = false;
      const isNews = await write();
      if (!isNews && announced) return;
      await endAgentWaits(orm);
      if (!announced) await purgeOldReports(orm);
      announced = true;
    },
    close() {
      closed.abort(new Error("shutting down"));
    },
  };
}
