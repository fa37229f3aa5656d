import { expect, test } from "bun:test";
import { asc, eq } from "drizzle-orm";
import type { Orm } from "../../src/db/client.ts";
import { message, outbox, prompt, session } from "../../src/db/tables.ts";
import { LeaseLost } from "../../src/lifecycle/fence.ts";
import { openRunWriter, type RunWriter } from "../../src/runs/writer.ts";
import { describeEachDatabase, seedSession } from "../harness/databases.ts";
import { claimIn, OK, SANDBOX } from "./rows.ts";

const PROCESS = { host: "here", id: "p", pid: 1, started: 1, boot: "b" };
const FAILURE = { attempt: 1, at: new Date(0).toISOString(), kind: "transient", error: "No net." } as const;

/** A database whose connection breaks once: before the first statement gets there, or after it was executed. */
function breaking(orm: Orm, when: "before" | "after"): Orm {
  let broken = false;
  const broke = () => Object.assign(new Error("the connection broke"), { code: "CONNECTION_CLOSED" });
  const once = async <T>(work: () => PromiseLike<T>): Promise<T> => {
    if (broken) return await work();
    broken = true;
    if (when === "before") throw broke();
    await work();
    throw broke();
  };
  return new Proxy(orm, {
    get(target, name) {
      const value = Reflect.get(target, name);
      if (name === "execute" || name === "transaction")
        return (...args: unknown[]) => once(() => value.apply(target, args));
      if (name !== "update") return typeof value === "function" ? value.bind(target) : value;
      // update(…).set(…).where(…).returning(…)
      return (table: typeof prompt) => ({
        set: (values: object) => ({
          where: (condition: undefined) => ({
            returning: (fields: { id: typeof prompt.id }) =>
              once(() => target.update(table).set(values).where(condition).returning(fields)),
          }),
        }),
      });
    },
  });
}

// A blink of the database at an adoption, the first record of a sandbox, a hand-over or a detach cost an attempt.
describeEachDatabase("a run's writes while the database is briefly unavailable", (database) => {
  const state = async (id: string, sessionId: string) => {
    const { orm } = database();
    const [row] = await orm.select().from(prompt).where(eq(prompt.id, id));
    const [held] = await orm.select().from(session).where(eq(session.id, sessionId));
    const messages = await orm
      .select({ seq: message.seq, data: message.data })
      .from(message)
      .where(eq(message.promptId, id))
      .orderBy(asc(message.seq));
    const jobs = await orm.select().from(outbox).where(eq(outbox.key, id));
    const { status, attempt, failures, process, leaseOwner, usage } = row ?? {};
    return {
      prompt: { status, attempt, failures, process, leaseOwner, usage },
      session: { sbxConfig: held?.sbxConfig, inboxStatus: held?.inboxStatus, turns: held?.messages.length },
      messages,
      jobs: jobs.length,
    };
  };

  const WRITES: Record<string, (writer: RunWriter) => Promise<void>> = {
    holdSandbox: (writer) => writer.holdSandbox(SANDBOX),
    markAdopted: (writer) => writer.markAdopted(),
    recordProcess: (writer) => writer.recordProcess(PROCESS),
    markDelivering: (writer) => writer.markDelivering(PROCESS),
    append: (writer) => writer.append([{ type: "assistant" }, { type: "user" }]),
    "append with progress": (writer) => writer.append([{ type: "assistant" }], { from: 0, to: 10 }),
    finish: (writer) => writer.finish(OK),
    postpone: (writer) => writer.postpone({ delayMs: 1000, failure: FAILURE, countsAsAttempt: true }),
    handOver: (writer) => writer.handOver(),
    detach: (writer) => writer.detach(60_000),
  };

  for (const when of ["before", "after"] as const)
    test.each(Object.keys(WRITES))(`%s has its effect once, with a break ${when} it`, async (name) => {
      const write = WRITES[name];
      if (!write) throw new Error(name);
      const signal = new AbortController().signal;
      const outcomes = [];
      for (const orm of [database().orm, breaking(database().orm, when)]) {
        const { promptIds, sessionId } = await seedSession(database(), 1);
        const [promptId = ""] = promptIds;
        // The third attempt: a number that is lowered twice is another one.
        for (let attempt = 1; attempt < 3; attempt += 1) {
          const earlier = await claimIn(database(), promptId, -1000);
          await openRunWriter({ orm: database().orm, run: earlier, signal }).recordProcess(PROCESS);
        }
        const run = await claimIn(database(), promptId);
        await write(openRunWriter({ orm, run, signal }));
        outcomes.push(await state(promptId, sessionId));
        // A detached one would be claimed before any other.
        await database().orm.delete(session).where(eq(session.id, sessionId));
      }
      const [expected, found] = outcomes;
      // A job that is dispatched twice is only one more wake-up.
      expect({ ...found, jobs: Math.min(found?.jobs ?? 0, expected?.jobs ?? 0) }).toEqual(expected as never);
    });

  test("a superseded run's writes are refused all the same", async () => {
    const { promptIds } = await seedSession(database(), 1);
    const [promptId = ""] = promptIds;
    const old = await claimIn(database(), promptId, -1000);
    await claimIn(database(), promptId);
    for (const [name, write] of Object.entries(WRITES)) {
      const orm = breaking(database().orm, "before");
      const refused = write(openRunWriter({ orm, run: old, signal: new AbortController().signal }));
      expect(await refused.catch((error) => error), name).toBeInstanceOf(LeaseLost);
    }
  });
});
