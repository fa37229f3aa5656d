import { sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../db/client.ts";
import { session } from "../db/tables.ts";
import { ownedSession } from "../lifecycle/ownership.ts";

/** A repository that a user has worked on, as the newest of their sessions names it. */
export interface RecentRepository {
  repo: string;
  targetBranch: string;
  lastUsedAt: Date;
}

/** Of those with more, the ones whose names come first are left out. */
const MAX_REPOSITORIES = 1_000;

/**
 * The repositories of a user's sessions, the last used ones first. A loose index scan: each step of the recursion reads one
 * entry of session_user_repo, the newest session of the next repository. It costs as many look-ups as there are repositories,
 * however many sessions they have; and unlike a look at the newest sessions it finds those that were not used for long.
 */
export async function recentRepositories(orm: Orm, userId: string): Promise<RecentRepository[]> {
  const columns = sql`${session.repo} as repo, ${session.targetBranch} as target_branch, ${session.createdAt} as created_at`;
  const newest = sql`order by ${session.repo} desc, ${session.createdAt} desc, ${session.id} desc limit 1`;
  const rows = await rowsOf<{ repo: string; targetBranch: string; lastUsedAt: string }>(
    orm,
    sql`with recursive latest as (
        (select ${columns}, 1 as place from ${session} where ${ownedSession(userId)} ${newest})
        union all
        select next.*, latest.place + 1 from latest cross join lateral (
          select ${columns} from ${session} where ${ownedSession(userId)} and ${session.repo} < latest.repo ${newest}
        ) next where latest.place < ${MAX_REPOSITORIES}
      )
      select repo, target_branch as "targetBranch", created_at as "lastUsedAt" from latest order by created_at desc`,
  );
  return rows.map(({ lastUsedAt, ...row }) => ({ ...row, lastUsedAt: new Date(lastUsedAt) }));
}
