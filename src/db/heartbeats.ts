import { eq, lt, sql } from "drizzle-orm";
import { type Orm, rowsOf } from "./client.ts";
import { taskHeartbeat } from "./tables.ts";

/** Seconds after which a silent task is no longer expected: it was removed from the deployment. */
const EXPECTED_FOR_S = 86_400;

/** Records that these tasks of this process are alive now, by the database's clock. */
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

/** For a process that shuts down gracefully: its tasks are not silent, they are gone. */
export async function deleteHeartbeats(orm: Orm, process: string): Promise<void> {
  await orm.delete(taskHeartbeat).where(eq(taskHeartbeat.process, process));
}

/** Removes the heartbeats of processes that died so long ago that they are no longer expected. */
export async function purgeOldHeartbeats(orm: Orm): Promise<void> {
  await orm
    .delete(taskHeartbeat)
    .where(lt(taskHeartbeat.beatenAt, sql`now() - make_interval(secs => ${EXPECTED_FOR_S})`));
}

/** Tasks that ran within a day, and that no process has sent a heartbeat of for `afterS` seconds; the longest silent first. */
export async function silentTasks(orm: Orm, afterS: number): Promise<{ task: string; seconds: number }[]> {
  const rows = await rowsOf<{ task: string; seconds: number | string }>(
    orm,
    sql`select task, round(extract(epoch from now() - max(beaten_at))) as seconds from task_heartbeat
      where beaten_at > now() - make_interval(secs => ${EXPECTED_FOR_S})
      group by task having max(beaten_at) < now() - make_interval(secs => ${afterS}) order by 2 desc, 1`,
  );
  return rows.map(({ task, seconds }) => ({ task, seconds: Number(seconds) }));
}
