import { eq, lt, sql } from "drizzle-orm";
import { type Orm, rowsOf } from "./client.ts";
import { taskHeartbeat } from "./tables.ts";

/** Seconds after which a task that has not been seen is no longer expected: its deployment has given it up. */
const EXPECTED_FOR_S = 86_400;

/** Says that these tasks of this process are alive now, by the database's clock. */
export async function beat(
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

/** A process that ends in order is not missed. */
export async function forgetBeats(orm: Orm, process: string): Promise<void> {
  await orm.delete(taskHeartbeat).where(eq(taskHeartbeat.process, process));
}

/** Forgets processes that died so long ago that nobody expects them any more. */
export async function forgetOldBeats(orm: Orm): Promise<void> {
  await orm
    .delete(taskHeartbeat)
    .where(lt(taskHeartbeat.beatenAt, sql`now() - make_interval(secs => ${EXPECTED_FOR_S})`));
}

/** Tasks that ran within a day and that no process has shown to be alive for `afterS` seconds; the longest silent first. */
export async function silentTasks(orm: Orm, afterS: number): Promise<{ task: string; seconds: number }[]> {
  const rows = await rowsOf<{ task: string; seconds: number | string }>(
    orm,
    sql`select task, round(extract(epoch from now() - max(beaten_at))) as seconds from task_heartbeat
      where beaten_at > now() - make_interval(secs => ${EXPECTED_FOR_S})
      group by task having max(beaten_at) < now() - make_interval(secs => ${afterS}) order by 2 desc, 1`,
  );
  return rows.map(({ task, seconds }) => ({ task, seconds: Number(seconds) }));
}
