import { eq, lt, type SQL, sql } from "drizzle-orm";
import { type Orm, rowsOf } from "./client.ts";
import { taskHeartbeat } from "./service-tables.ts";

/** A task without a heartbeat for this long, in seconds, counts as stopped; tasks send one every 5 or 10. */
export const SILENT_AFTER_S = 30;
/** After how many seconds a silent task counts as removed from the deployment. */
const EXPECTED_FOR_S = 86_400;

/**
 * Records that these tasks of this process are alive now, by the database's clock.
 * @param beat.host the machine, by the id of its DATA_DIR, like a run's.
 */
export async function writeHeartbeats(
  orm: Orm,
  { process, host, tasks }: { process: string; host: string; tasks: readonly string[] },
): Promise<void> {
  await orm
    .insert(taskHeartbeat)
    .values(tasks.map((task) => ({ task, process, host })))
    .onConflictDoUpdate({
      target: [taskHeartbeat.task, taskHeartbeat.process],
      set: { beatenAt: sql`now()` },
    });
}

/** Deletes the heartbeats of a process that shuts down gracefully, so that its tasks do not count as silent. */
export async function deleteHeartbeats(orm: Orm, process: string): Promise<void> {
  await orm.delete(taskHeartbeat).where(eq(taskHeartbeat.process, process));
}

/** Purges the heartbeats of processes that died more than a day ago. */
export async function purgeOldHeartbeats(orm: Orm): Promise<void> {
  await orm
    .delete(taskHeartbeat)
    .where(lt(taskHeartbeat.beatenAt, sql`now() - make_interval(secs => ${EXPECTED_FOR_S})`));
}

/** Tasks that ran within a day but have had no heartbeat for `afterS` seconds, the longest silent first. */
export async function silentTasks(orm: Orm, afterS: number): Promise<{ task: string; seconds: number }[]> {
  const rows = await rowsOf<{ task: string; seconds: number | string }>(
    orm,
    sql`select task, round(extract(epoch from now() - max(beaten_at))) as seconds from task_heartbeat
      where beaten_at > now() - make_interval(secs => ${EXPECTED_FOR_S})
      group by task having max(beaten_at) < now() - make_interval(secs => ${afterS}) order by 2 desc, 1`,
  );
  return rows.map(({ task, seconds }) => ({ task, seconds: Number(seconds) }));
}

/** For queries: whether prompts can run on a machine for which a condition on `h.host` holds. */
export const runsPromptsWhere = (condition: SQL): SQL => sql`exists (
  select 1 from task_heartbeat h where h.task = 'prompt-runner' and ${condition}
    and h.beaten_at > now() - make_interval(secs => ${SILENT_AFTER_S}))`;
