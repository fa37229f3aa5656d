import { nextEffectMs } from "../db/due-effects.ts";
import { lookDue, performDue } from "../pull-requests/effect-loop.ts";
import { openTargets } from "../pull-requests/targets.ts";
import { CHANNELS } from "../queue/names.ts";
import { repoRules } from "../sandboxes/git/repo-url.ts";
import { startLoop } from "./loop.ts";
import { LONG_REST_MS, restWhile } from "./rest.ts";
import type { Task } from "./task.ts";

/** For what is tried again; NOTIFY wakes the task for new ones. */
const INTERVAL_MS = 2_000;
/** Effects that one process performs at a time, each by a loop of its own: a host that is slow holds up no other. */
const PERFORMERS = 4;

/** Makes, merges and reads pull requests, each under a lease. Any number of runners may work at a time. */
export const effectRunner: Task = async ({ config, database, forges, metrics, logger }) => {
  const shutdown = new AbortController();
  const { labels = [], reviewers = [], archiveWhen } = config.pullRequests;
  const deps = {
    ...{ orm: database.orm, targetOf: openTargets(repoRules(config), forges), publicUrl: config.publicUrl },
    ...{ labels, reviewers, archiveWhen, retryMs: config.runLimits.retryTransientMs },
    ...{ ended: metrics.effectEnded, logger },
  };
  const works = [...Array.from({ length: PERFORMERS }, () => performDue), lookDue];
  const restMs = restWhile(database, LONG_REST_MS, () => nextEffectMs(database.orm));
  const loops = works.map((work) =>
    startLoop({
      ...{ name: "effect-runner", intervalMs: INTERVAL_MS, restMs, logger },
      work: () => work(deps, shutdown.signal),
    }),
  );
  const unlisten = await database.listen(CHANNELS.effect, () => {
    for (const { wake } of loops) wake();
  });
  return {
    async stop() {
      shutdown.abort();
      await unlisten();
      await Promise.all(loops.map((loop) => loop.stop()));
    },
  };
};
