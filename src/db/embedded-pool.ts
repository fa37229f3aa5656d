import { EventEmitter } from "node:events";
import type { PGlite } from "@electric-sql/pglite";
import type { PgPool } from "bullmq";

/**
 * The part of pg.Pool that BullMQ uses, on a PGlite session: connect, query, end, and the `notification` event of clients.
 * All "clients" are the same session; PGlite serializes their queries.
 */
export function poolAround(db: Pick<PGlite, "query" | "exec" | "onNotification">): PgPool {
  const query = async (text: string, params?: unknown[]) => {
    if (params !== undefined && params.length > 0) return db.query(text, params);
    // Unlike query, exec accepts several statements in one text, which BullMQ's migrations are.
    const results = await db.exec(text);
    return results.at(-1) ?? { rows: [], fields: [] };
  };

  const connect = async () => {
    const client = new EventEmitter();
    const unsubscribe = db.onNotification((channel, payload) =>
      client.emit("notification", { channel, payload }),
    );
    return Object.assign(client, {
      query,
      release: () => unsubscribe(),
    });
  };

  return Object.assign(new EventEmitter(), {
    query,
    connect,
    end: async () => undefined,
    options: { keepAlive: true },
  }) as unknown as PgPool;
}
