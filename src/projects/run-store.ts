import { and, asc, eq, gt, or, sql } from "drizzle-orm";
import type { Orm } from "../db/client.ts";
import { rowsOf } from "../db/client.ts";
import { project, projectSecret } from "../db/project-tables.ts";
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

/** @throws LeaseLost */
export async function recordProject(
  orm: Orm,
  run: Fence,
  used: { id: string; version: number } | undefined,
): Promise<void> {
  const rows = await orm
    .update(prompt)
    .set({ projectId: used?.id ?? null, projectVersion: used?.version ?? null })
    .where(heldBy(run))
    .returning({ id: prompt.id });
  if (rows.length === 0) throw new LeaseLost();
}

/** The ids of all keys that secrets are sealed with. */
export async function sealedWith(orm: Orm): Promise<{ keyId: string; count: number }[]> {
  const rows = await rowsOf<{ keyId: string; count: number }>(
    orm,
    sql`select key_id as "keyId", count(*)::int as count from project_secret group by key_id`,
  );
  return rows;
}

/**
 * Seals the secrets again whose key is not the newest any more, where this machine has both keys. Those that cannot be opened
 * stay as they are.
 * @param signal ends it between two of them; the rest is for the next call. @returns how many.
 */
export async function resealSecrets(orm: Orm, keys: SecretKeys, signal?: AbortSignal): Promise<number> {
  const newest = keys.current();
  if (newest === undefined) return 0;
  const old = (await sealedWith(orm)).filter(({ keyId }) => keyId !== newest && keys.has(keyId));
  let count = 0;
  for (const { keyId } of old)
    for await (const { projectId, name, ...value } of sealedBy(orm, keyId)) {
      if (signal?.aborted) return count;
      const again = reseal(keys, { projectId, name }, value);
      if (!again) continue;
      // Unless it was stored anew meanwhile.
      const same = and(
        eq(projectSecret.projectId, projectId),
        eq(projectSecret.name, name),
        eq(projectSecret.sealed, value.sealed),
      );
      await orm.update(projectSecret).set(again).where(same);
      count += 1;
    }
  return count;
}

/** The secrets of a key, in the order of their rows: those that are left as they are do not keep the others from their turn. */
async function* sealedBy(orm: Orm, keyId: string) {
  const { projectId, name } = projectSecret;
  let last: { projectId: string; name: string } | undefined;
  do {
    const after =
      last && or(gt(projectId, last.projectId), and(eq(projectId, last.projectId), gt(name, last.name)));
    const rows = await orm
      .select()
      .from(projectSecret)
      .where(and(eq(projectSecret.keyId, keyId), after))
      .orderBy(asc(projectId), asc(name))
      .limit(RESEAL_BATCH);
    yield* rows;
    last = rows.at(-1);
  } while (last);
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
