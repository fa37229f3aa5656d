import { and, eq } from "drizzle-orm";
import type { Queryable } from "../db/client.ts";
import type { PromptChoice } from "../db/json-columns.ts";
import { project } from "../db/project-tables.ts";

/**
 * What a user's project of a repository says of who works on the first prompt of its sessions, and how.
 * Undefined: nothing.
 */
export async function readProjectDefaults(
  orm: Queryable,
  wanted: { userId: string; repoKey: string },
): Promise<PromptChoice | undefined> {
  const [found] = await orm
    .select({ agent: project.agent, model: project.model, mode: project.mode })
    .from(project)
    .where(and(eq(project.userId, wanted.userId), eq(project.repoKey, wanted.repoKey)));
  if (!found || (found.agent === null && found.model === null && found.mode === null)) return undefined;
  return { ...found, mode: found.mode ?? "auto" };
}
