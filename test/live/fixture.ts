import { asc, eq, getTableColumns } from "drizzle-orm";
import type { User } from "../../src/auth/verify.ts";
import type { Database } from "../../src/db/client.ts";
import { message, prompt, session } from "../../src/db/tables.ts";
import type { Fence } from "../../src/lifecycle/fence.ts";
import { openHub } from "../../src/live/hub.ts";
import { toMessageDto } from "../../src/messages/dto.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { listen } from "../../src/server/listen.ts";
import { makeApp } from "../harness/app.ts";
import { seedSession, writerOf } from "../harness/seed.ts";

/** A token that `serveLive` accepts; with `ms`, it expires this many milliseconds after its first use. */
export const bearer = (user: string, ms?: number) => ({
  authorization: `Bearer ${Buffer.from(user).toString("base64url")}${ms === undefined ? "" : `~${ms}`}`,
});

/** The API on a port of its own, which accepts every `bearer` unless it is given another verifier. */
export async function serveLive(
  database: Database,
  hubOptions: Partial<Parameters<typeof openHub>[0]> = {},
  appOptions: Parameters<typeof makeApp>[0] = {},
) {
  const logger = createLogger({ level: "silent" });
  const hub = await openHub({ database, logger, ...hubOptions });
  const app = makeApp({
    database,
    hub,
    env: { CORS_ORIGINS: "https://ui.example.com" },
    verifier: {
      async verify(token): Promise<User> {
        const [id = "", ms] = token.split("~");
        return {
          id: Buffer.from(id, "base64url").toString(),
          roles: [],
          expiresAt: ms ? Date.now() + Number(ms) : Number.POSITIVE_INFINITY,
        };
      },
      isTrusted: async () => true,
    },
    ...appOptions,
  });
  const listening = await listen({ app, host: "127.0.0.1", port: 0 });
  return {
    hub,
    url: listening.url,
    stop: () => listening.stop(),
    async [Symbol.asyncDispose]() {
      hub.endStreams();
      await listening.stop();
      await hub.close();
    },
  };
}

/** Events of an agent, numbered from `from`. */
export const agentEvents = (from: number, count: number) =>
  Array.from({ length: count }, (_, n) => ({
    type: "assistant",
    text: `${from + n}: a\nline and a “quote”`,
  }));

/** A session whose prompt is running, with the writer of its agent; and another way to change a session. */
export function agentIn(database: () => Database) {
  const running = async () => {
    const { sessionId, promptIds } = await seedSession(database(), 1);
    const run = await claim(database(), promptIds[0] ?? "");
    const { append, beginAnew } = writerOf(database().orm, run);
    return { sessionId, append, beginAnew };
  };
  const rename = (id: string, title: string) =>
    database().orm.update(session).set({ title }).where(eq(session.id, id));
  return { running, rename };
}

/** Leases a prompt for longer than any test. */
export async function claim({ orm }: Database, promptId: string): Promise<Fence> {
  const set = {
    status: "Running",
    leaseOwner: "test",
    leaseEpoch: 1,
    leaseExpiresAt: new Date("2100-01-01"),
  };
  const where = eq(prompt.id, promptId);
  const [row] = await orm
    .update(prompt)
    .set(set as Partial<typeof prompt.$inferInsert>)
    .where(where)
    .returning();
  if (!row) throw new Error("no such prompt");
  await orm.update(session).set({ inboxStatus: "Processing" }).where(eq(session.id, row.sessionId));
  return { promptId, epoch: 1 };
}

/** The `data` of each message event that a stream of the session must send, from the table. */
export async function tableOf(database: Database, sessionId: string): Promise<string[]> {
  const rows = await database.orm
    .select({ ...getTableColumns(message), redone: prompt.redone })
    .from(message)
    .innerJoin(prompt, eq(prompt.id, message.promptId))
    .where(eq(message.sessionId, sessionId))
    .orderBy(asc(message.seq));
  return rows.map((row) => JSON.stringify({ ...toMessageDto(row), session_id: sessionId }));
}
