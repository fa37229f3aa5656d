import { and, asc, eq, inArray, type SQL, sql } from "drizzle-orm";
import { type Orm, type Queryable, rowsOf } from "../db/client.ts";
import { project, projectSecret, runSecret } from "../db/project-tables.ts";
import { deleteBatch } from "../db/purge.ts";
import { prompt } from "../db/tables.ts";
import { type Fence, heldBy, LeaseLost } from "../lifecycle/fence.ts";
import { SealBroken, type SecretKeys } from "./keys.ts";
import type { ProjectRow } from "./store.ts";

/** Secrets that one statement reads when they are sealed again. */
const RESEAL_BATCH = 100;

export interface SealedSecret {
  name: string;
  sealed: Uint8Array;
  keyId: string;
}

/** A user's project of a repository, with its secrets, by one statement: both are of one moment. */
export async function readForRun(
  orm: Orm,
  wanted: { userId: string; repoKey: string },
): Promise<{ project: ProjectRow; secrets: SealedSecret[] } | undefined> {
  const { name, sealed, keyId } = projectSecret;
  const rows = await orm
    .select({ project, secret: { name, sealed, keyId } })
    .from(project)
    .leftJoin(projectSecret, eq(projectSecret.projectId, project.id))
    .where(and(eq(project.userId, wanted.userId), eq(project.repoKey, wanted.repoKey)));
  const [first] = rows;
  return first && { project: first.project, secrets: rows.flatMap(({ secret }) => secret ?? []) };
}

/** Records which version of its project a run has, and keeps the secrets that it is given. @throws LeaseLost */
export async function recordProject(
  orm: Orm,
  run: Fence,
  used: { id: string; version: number; secrets: readonly SealedSecret[] } | undefined,
): Promise<void> {
  const record = async (on: Queryable) => {
    const rows = await on
      .update(prompt)
      .set({ projectId: used?.id ?? null, projectVersion: used?.version ?? null })
      .where(heldBy(run))
      .returning({ id: prompt.id });
    if (rows.length === 0) throw new LeaseLost();
  };
  if (!used || used.secrets.length === 0) return record(orm);
  const about = { promptId: run.promptId, projectId: used.id, version: used.version };
  const given = used.secrets.map((secret) => ({ ...about, ...secret }));
  await orm.transaction(async (tx) => {
    await record(tx);
    await tx.insert(runSecret).values(given).onConflictDoNothing();
  });
}

/** The secrets that earlier runs of a prompt were given, of all versions of its project. */
export async function givenSecrets(
  orm: Orm,
  promptId: string,
): Promise<(SealedSecret & { projectId: string })[]> {
  const { projectId, name, sealed, keyId } = runSecret;
  return orm
    .select({ projectId, name, sealed, keyId })
    .from(runSecret)
    .where(eq(runSecret.promptId, promptId));
}

/** Deletes a batch of what ended runs were given. @returns how many. */
export const purgeRunSecrets = (orm: Orm): Promise<number> =>
  deleteBatch(
    orm,
    runSecret,
    sql`prompt_id in (select id from prompt where status not in ('Queued', 'Running'))`,
  );

/** The ids of all keys that secrets are sealed with. */
export async function sealedWith(orm: Orm): Promise<{ keyId: string; count: number }[]> {
  const rows = await rowsOf<{ keyId: string; count: number }>(
    orm,
    sql`select key_id as "keyId", count(*)::int as count
      from (select key_id from project_secret union all select key_id from run_secret) s group by key_id`,
  );
  return rows;
}

/**
 * Seals all secrets of projects again whose key is not the newest any more, where this machine has both keys. One by one: whoever
 * is killed meanwhile leaves each sealed by one key or the other. What runs were given goes with them.
 * @returns how many.
 */
export async function resealSecrets(orm: Orm, keys: SecretKeys, signal?: AbortSignal): Promise<number> {
  const newest = keys.current();
  if (newest === undefined) return 0;
  const { projectId, name, sealed, keyId } = projectSecret;
  const old = (await sealedWith(orm)).map((one) => one.keyId).filter((id) => id !== newest && keys.has(id));
  if (old.length === 0) return 0;
  let count = 0;
  let after: SQL | undefined;
  while (!signal?.aborted) {
    const rows = await orm
      .select({ projectId, name, sealed, keyId })
      .from(projectSecret)
      .where(and(inArray(keyId, old), after))
      .orderBy(asc(projectId), asc(name))
      .limit(RESEAL_BATCH);
    for (const { sealed: before, keyId: by, ...place } of rows) {
      const again = reseal(keys, place, { sealed: before, keyId: by });
      if (!again) continue;
      // Unless it was stored anew meanwhile.
      const same = and(eq(projectId, place.projectId), eq(name, place.name), eq(sealed, before));
      await orm.update(projectSecret).set(again).where(same);
      count += 1;
    }
    const last = rows.at(-1);
    if (!last) break;
    after = sql`(${projectId}, ${name}) > (${last.projectId}, ${last.name})`;
  }
  return count;
}

/** Undefined: what is stored cannot be opened, which its user learns when it is used. */
function reseal(
  keys: SecretKeys,
  place: { projectId: string; name: string },
  value: Omit<SealedSecret, "name">,
) {
  try {
    return keys.seal(place, keys.open(place, value));
  } catch (error) {
    if (error instanceof SealBroken) return undefined;
    throw error;
  }
}
