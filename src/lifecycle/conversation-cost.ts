import { type SQL, sql } from "drizzle-orm";

/**
 * What the conversation of the session `s` in the surrounding query has cost, US dollars: of its prompts since its agent last
 * began one; and if it never did, as in a fork that goes on with another's, also what that had cost before.
 * @param counts which of its prompts count, given the name of the table.
 */
export function conversationCost(counts: (table: SQL) => SQL): SQL {
  return sql`select case when began.seq is null then s.earlier_cost_usd else 0 end
      + coalesce(sum(coalesce(o.usage ->> 'reported_cost_usd', o.usage ->> 'cost_usd')::double precision), 0)
    from (select max(b.seq) as seq from prompt b
      where b.session_id = s.id and b.memory <> 'resumed' and ${counts(sql`b`)}) began
    left join prompt o on o.session_id = s.id and o.seq >= coalesce(began.seq, 0) and ${counts(sql`o`)}
    group by began.seq`;
}
