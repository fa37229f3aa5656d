import { sql } from "drizzle-orm";

/** Whether a memory of its session names the piece `c` of the surrounding query, a row of session_chunk. */
export const namedByMemory = sql`exists (select 1 from agent_memory m, jsonb_array_elements(m.files) file
  where m.session_id = c.session_id and file -> 'chunks' ? c.hash)`;
