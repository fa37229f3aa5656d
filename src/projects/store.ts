import { and, asc, eq, gt, inArray, sql } from "drizzle-orm";
import { requireMatch, versionTag } from "../api/etag.ts";
import { decodeId, type Page, type PageQuery, pageOf } from "../api/paging.ts";
import { recordAudit } from "../db/audit-log.ts";
import { isUniqueViolation, type Orm, type Queryable, type Transaction } from "../db/client.ts";
import { project, projectSecret } from "../db/project-tables.ts";
import { AppError, notFound } from "../shared/errors.ts";
import { checkTogether } from "./check.ts";
import type { SecretKeys } from "./keys.ts";

/** Projects of one user. */
const MAX_PROJECTS = 500;

export type ProjectRow = typeof project.$inferSelect;
/** Settings of a project; those that are undefined stay as they are. */
export type ProjectChange = {
  [Field in Exclude<keyof ProjectRow, "id" | "userId" | "version" | "createdAt" | "updatedAt">]?:
    | ProjectRow[Field]
    | undefined;
};
/** Values by name; null removes one. */
export type SecretChange = Readonly<Record<string, string | null>>;
/** Without values, which nobody gets back. */
export type ProjectWithSecrets = ProjectRow & { secrets: { name: string; updatedAt: Date }[] };

interface Owned {
  userId: string;
  id: string;
}

/** True for the projects of this user: those of others do not exist. */
const owned = ({ userId, id }: Owned) => and(eq(project.id, id), eq(project.userId, userId));

/** A user's projects, in the order in which they were made. */
export async function listProjects(
  orm: Orm,
  wanted: PageQuery & { userId: string; repoKey?: string | undefined },
): Promise<Page<ProjectWithSecrets>> {
  const { userId, repoKey, limit, cursor } = wanted;
  const ofRepo = repoKey === undefined ? undefined : eq(project.repoKey, repoKey);
  const after = cursor === undefined ? undefined : gt(project.id, decodeId(cursor));
  const rows = orm
    .select()
    .from(project)
    .where(and(eq(project.userId, userId), ofRepo, after))
    .orderBy(asc(project.id));
  const page = pageOf(await (limit === undefined ? rows : rows.limit(limit + 1)), limit, ({ id }) => id);
  return { ...page, rows: await withSecrets(orm, page.rows) };
}

/** @throws AppError `project_not_found`, also if it is another user's. */
export async function readProject(orm: Queryable, wanted: Owned): Promise<ProjectWithSecrets> {
  const [row] = await withSecrets(orm, await orm.select().from(project).where(owned(wanted)));
  if (!row) throw notFound("project", wanted.id);
  return row;
}

/** @throws AppError `project_exists`: the repository has one already; `invalid` */
export async function createProject(
  tx: Transaction,
  keys: SecretKeys,
  wanted: { userId: string; repo: string; repoKey: string; change: ProjectChange; secrets: SecretChange },
): Promise<{ id: string }> {
  const { userId, repo, repoKey, change, secrets } = wanted;
  const id = Bun.randomUUIDv7();
  if ((await tx.$count(project, eq(project.userId, userId))) >= MAX_PROJECTS)
    throw new AppError(
      "invalid",
      `You have ${MAX_PROJECTS} projects; delete one that is not needed any more.`,
    );
  await tx
    .insert(project)
    .values({ ...defined(change), id, userId, repo, repoKey })
    .catch(existing(repo));
  await writeSecrets(tx, keys, id, secrets);
  await checkWhole(tx, { userId, id });
  const detail = { repo: repoKey, fields: fieldsOf(change), secrets: Object.keys(secrets) };
  await recordAudit(tx, { actor: userId, action: "project.create", target: `project:${id}`, detail });
  return { id };
}

/** @throws AppError `project_not_found`, `project_exists`, `precondition_failed`, `invalid` */
export async function updateProject(
  orm: Orm,
  keys: SecretKeys,
  wanted: Owned & { change: ProjectChange; secrets: SecretChange; ifMatch?: string | null },
): Promise<ProjectWithSecrets> {
  const { userId, id, change, secrets, ifMatch = null } = wanted;
  return orm.transaction(async (tx) => {
    const [found] = await tx
      .update(project)
      .set({ ...defined(change), version: sql`${project.version} + 1`, updatedAt: sql`now()` })
      .where(owned(wanted))
      .returning({ version: project.version })
      .catch(existing(change.repo ?? ""));
    if (!found) throw notFound("project", id);
    requireMatch(ifMatch, versionTag(id, found.version - 1));
    await writeSecrets(tx, keys, id, secrets);
    const row = await checkWhole(tx, wanted);
    const detail = { repo: row.repoKey, fields: fieldsOf(change), secrets: Object.keys(secrets) };
    await recordAudit(tx, { actor: userId, action: "project.update", target: `project:${id}`, detail });
    return row;
  });
}

/** With its secrets. Runs that have begun keep what they have. @throws AppError `project_not_found` */
export async function deleteProject(orm: Orm, wanted: Owned): Promise<void> {
  await orm.transaction(async (tx) => {
    const [row] = await tx.delete(project).where(owned(wanted)).returning({ repo: project.repoKey });
    if (!row) throw notFound("project", wanted.id);
    const target = `project:${wanted.id}`;
    await recordAudit(tx, { actor: wanted.userId, action: "project.delete", target, detail: row });
  });
}

/** Which of these projects exist, of all users. */
export async function knownProjects(orm: Orm, ids: readonly string[]): Promise<Set<string>> {
  const rows = await orm
    .select({ id: project.id })
    .from(project)
    .where(inArray(project.id, [...ids]));
  return new Set(rows.map((row) => row.id));
}

async function writeSecrets(tx: Transaction, keys: SecretKeys, projectId: string, secrets: SecretChange) {
  const removed = Object.keys(secrets).filter((name) => secrets[name] === null);
  if (removed.length > 0)
    await tx
      .delete(projectSecret)
      .where(and(eq(projectSecret.projectId, projectId), inArray(projectSecret.name, removed)));
  for (const [name, value] of Object.entries(secrets)) {
    if (value === null) continue;
    const sealed = keys.seal({ projectId, name }, value);
    const set = { ...sealed, updatedAt: sql`now()` };
    await tx
      .insert(projectSecret)
      .values({ projectId, name, ...sealed })
      .onConflictDoUpdate({ target: [projectSecret.projectId, projectSecret.name], set });
  }
}

/** What only the stored whole shows. */
async function checkWhole(tx: Transaction, wanted: Owned): Promise<ProjectWithSecrets> {
  const row = await readProject(tx, wanted);
  checkTogether({ environment: row.environment, secrets: row.secrets.map(({ name }) => name) });
  return row;
}

async function withSecrets(orm: Queryable, rows: ProjectRow[]): Promise<ProjectWithSecrets[]> {
  if (rows.length === 0) return [];
  const { projectId, name, updatedAt } = projectSecret;
  const secrets = await orm
    .select({ projectId, name, updatedAt })
    .from(projectSecret)
    .where(
      inArray(
        projectId,
        rows.map(({ id }) => id),
      ),
    )
    .orderBy(asc(name));
  return rows.map((row) => ({ ...row, secrets: secrets.filter((one) => one.projectId === row.id) }));
}

const existing = (repo: string) => (error: unknown) => {
  if (!isUniqueViolation(error, "project_user_repo")) throw error;
  throw new AppError("project_exists", `You have a project for ${repo} already; change that one.`);
};

const defined = (change: ProjectChange): Partial<ProjectRow> =>
  Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined));

const fieldsOf = (change: ProjectChange) => Object.keys(defined(change)).filter((name) => name !== "repoKey");
