import { sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../db/client.ts";
import { session } from "../db/tables.ts";
import { ownedSessionById } from "../lifecycle/ownership.ts";
import { notFound } from "../shared/errors.ts";

/**
 * Marks a session as seen, or as unread again, in one statement. `updated_at` stays: its work has not changed. A repetition
 * writes nothing, so that streams and ETags do not change either.
 * @throws AppError `session_not_found`
 */
export async function markSeen(
  orm: Orm,
  { userId, id, unread }: { userId: string; id: string; unread: boolean },
): Promise<void> {
  const found = await rowsOf(
    orm,
    sql`with own as (select ${session.id} from ${session} where ${ownedSessionById(userId, id)}),
      marked as (update session s set unread = ${unread}::boolean from own
        where s.id = own.id and s.unread <> ${unread}::boolean)
    select id from own`,
  );
  if (found.length === 0) throw notFound("session", id);
}
