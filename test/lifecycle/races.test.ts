import { expect, test } from "bun:test";
import { eq, inArray } from "drizzle-orm";
import { message, prompt, session } from "../../src/db/tables.ts";
import { LeaseLost } from "../../src/lifecycle/fence.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { claimNext } from "../../src/runs/claim.ts";
import { ask, makeApp } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { TTL_MS, writerOf } from "../harness/seed.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";

const USER = "racer";
const CLIENTS = 8;
const ROUNDS = 40;

describeEachDatabase("clients and runners that change the same sessions concurrently", (database) => {
  test(
    "there is no deadlock and no duplicate number, and every session ends with its prompts",
    async () => {
      const { orm } = database();
      const app = makeApp({
        database: database(),
        // Errors of the log explain a 5xx.
        logger: createLogger({ level: "error" }),
        env: { MAX_UNFINISHED_PROMPTS: "100000" },
      });
      const send = (method: string, path: string, body?: unknown) => ask(app, USER, method, path, body);
      const pick = <One>(some: readonly One[]) => some[Math.floor(Math.random() * some.length)] as One;
      const target = { repo: "owner/name", target_branch: "main" };
      const sessions: string[] = [];
      const prompts: string[] = [];
      for (let one = 0; one < 3; one++) {
        const { body } = await send("POST", "/sessions/with-prompt", { ...target, messages: "go" });
        sessions.push(body.sessionId);
        prompts.push(body.promptId);
      }

      const statuses: number[] = [];
      const client = async () => {
        for (let round = 0; round < ROUNDS; round++) {
          const [method, path, body] = pick<() => [string, string, unknown?]>([
            () => ["POST", "/prompts", { session_id: pick(sessions), data: "more" }],
            () => ["POST", "/prompts", { session_id: pick(sessions), data: "more" }],
            () => ["POST", `/sessions/${pick(sessions)}/cancel`],
            () => ["PUT", `/prompts/${pick(prompts.slice(-6))}`, { data: "other" }],
            () => ["DELETE", `/prompts/${pick(prompts.slice(-6))}`],
            () => ["POST", "/messages", { prompt_id: pick(prompts.slice(-6)), data: {} }],
            () => ["POST", "/dead-letter-queue/retry", {}],
          ])();
          const reply = await send(method, path, body);
          statuses.push(reply.status);
          if (path === "/prompts") prompts.push(reply.body.id);
        }
      };
      let clientsDone = false;
      const claimant = { host: "here", ttlMs: TTL_MS, maxRunning: 100, maxRunningPerUser: 100 };
      const runner = async (owner: string) => {
        for (let run = await claimNext(orm, { ...claimant, owner }); run || !clientsDone; ) {
          if (run) {
            try {
              await writerOf(orm, run).append([{ type: "a" }, { type: "b" }]);
              const status = pick(["Completed", "Failed"] as const);
              const errorKind = status === "Failed" ? "poison" : null;
              const end = { error: null, usage: {}, content: "", dead: status === "Failed" };
              await writerOf(orm, run).finish({ ...end, status, errorKind });
            } catch (error) {
              if (!(error instanceof LeaseLost)) throw error;
            }
          }
          run = await claimNext(orm, { ...claimant, owner });
        }
      };
      const runners = [runner("one"), runner("two")];
      await Promise.all(Array.from({ length: CLIENTS }, client)).finally(() => {
        clientsDone = true;
      });
      await Promise.all(runners);

      expect(statuses.filter((status) => ![200, 404, 409].includes(status))).toEqual([]);
      expect(statuses).toHaveLength(CLIENTS * ROUNDS);
      const rows = await orm.select().from(session).where(inArray(session.id, sessions));
      for (const row of rows) {
        expect(["Completed", "Failed", "Cancelled"]).toContain(row.inboxStatus);
        const left = await orm.select().from(prompt).where(eq(prompt.sessionId, row.id));
        expect(left.filter(({ status }) => status === "Queued" || status === "Running")).toEqual([]);
        const numbers = await orm
          .select({ seq: message.seq })
          .from(message)
          .where(eq(message.sessionId, row.id))
          .orderBy(message.seq);
        expect(new Set(numbers.map(({ seq }) => seq)).size).toBe(numbers.length);
        // A deleted prompt leaves a gap, but no number is above the counter.
        expect(numbers.at(-1)?.seq ?? 0).toBeLessThanOrEqual(row.messageSeq);
        const turns = row.messages.filter(({ role }) => role === "user").map(({ prompt_id }) => prompt_id);
        expect(turns.sort()).toEqual(left.map(({ id }) => id).sort());
      }
    },
    SLOW_TEST_TIMEOUT_MS,
  );
});
