import { type SQL, sql } from "drizzle-orm";
import type { PromptChoice } from "../db/json-columns.ts";
import { project } from "../db/project-tables.ts";

/**
 * For queries: what a user's project of a repository says of who works on the first prompt of its sessions, and how. Null:
 * nothing.
 */
export const projectDefaults = ({
  userId,
  repoKey,
}: {
  userId: string;
  repoKey: string;
}): SQL<PromptChoice | null> => sql`(
  select jsonb_build_object('agent', ${project.agent}, 'model', ${project.model}, 'mode', coalesce(${project.mode}, 'auto'))
  from ${project} where ${project.userId} = ${userId} and ${project.repoKey} = ${repoKey}
    and coalesce(${project.agent}, ${project.model}, ${project.mode}) is not null)`;
