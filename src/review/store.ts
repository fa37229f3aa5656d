import { sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../db/client.ts";
import { session } from "../db/tables.ts";
import { isOwnedSession } from "../lifecycle/ownership.ts";
import { notFound } from "../shared/errors.ts";

/** Where a session's work is, as the database knows it. */
export interface WorkRow {
  id: string;
  userId: string;
  repo: string;
  targetBranch: string;
  branch: string;
  startCommit: string | null;
  pushedCommit: string | null;
  unpushedCommit: string | null;
  unpushedHost: string | null;
  /** Those that have delivered something, in their order. */
  prompts: PromptWork[];
}

export interface PromptWork {
  id: string;
  /** Null: it is from before this was recorded. */
  start: string | null;
  commit: string;
}

/** In one statement. @throws AppError `session_not_found`, also where it is another user's. */
export async function readWork(orm: Orm, userId: string, sessionId: string): Promise<WorkRow> {
  const [row] = await rowsOf<WorkRow>(
    orm,
    sql`select ${session.id} as id, ${session.userId} as "userId", ${session.repo} as repo, ${session.targetBranch} as "targetBranch",
        ${session.branch} as branch, ${session.startCommit} as "startCommit", ${session.pushedCommit} as "pushedCommit",
        w.commit as "unpushedCommit", w.host as "unpushedHost",
        coalesce((select jsonb_agg(jsonb_build_object('id', p.id, 'start', p.start_commit, 'commit', p.commit) order by p.seq)
          from prompt p where p.session_id = ${session.id} and p.commit is not null), '[]') as prompts
      from ${session} left join unpushed_work w on w.session_id = ${session.id}
      where ${session.id} = ${sessionId}::uuid and ${isOwnedSession(userId)}`,
  );
  if (!row) throw notFound("session", sessionId);
  return row;
}
