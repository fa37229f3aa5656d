import { and, eq, ne, sql } from "drizzle-orm";
import type { Orm } from "../db/client.ts";
import { rowsOf } from "../db/client.ts";
import { project, projectSecret } from "../db/project-tables.ts";
import { prompt } from "../db/tables.ts";
import { type Fence, heldBy, LeaseLost } from "../lifecycle/fence.ts";
import { SealBroken, type SecretKeys } from "./keys.ts";
import type { ProjectRow } from "./store.ts";

/** Secrets that one statement looks at when they are sealed again. */
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
 * Seals a batch of secrets again whose key is not the newest any more, where this machine has both keys.
 * @returns how many.
 */
export async function resealSecrets(orm: Orm, keys: SecretKeys): Promise<number> {
  const newest = keys.current();
  if (newest === undefined) return 0;
  const old = (await sealedWith(orm)).filter(({ keyId }) => keyId !== newest && keys.has(keyId));
  let count = 0;
  for (const { keyId } of old) {
    const rows = await orm
      .select()
      .from(projectSecret)
      .where(and(eq(projectSecret.keyId, keyId), ne(projectSecret.keyId, newest)))
      .limit(RESEAL_BATCH);
    for (const { projectId, name, ...value } of rows) {
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
