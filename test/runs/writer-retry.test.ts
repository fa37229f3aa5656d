import { expect, test } from "bun:test";
import { asc, eq } from "drizzle-orm";
import type { Orm } from "../../src/db/client.ts";
import { message, type prompt, session } from "../../src/db/tables.ts";
import { LeaseLost } from "../../src/lifecycle/fence.ts";
import { openRunWriter, type RunWriter } from "../../src/runs/writer.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import {
  COMPLETED,
  EXPIRED_MS,
  FAILURE,
  mustClaim,
  outboxKeys,
  PROCESS,
  promptRow,
  SANDBOX,
  seedPrompt,
  seedRun,
  sessionRow,
} from "../harness/seed.ts";

/** A database whose connection breaks once: before the first statement reaches it, or after it was executed. */
function breaking(orm: Orm, when: "before" | "after"): Orm {
  let broken = false;
  const connectionError = () =>
    Object.assign(new Error("the connection broke"), { code: "CONNECTION_CLOSED" });
  const once = async <T>(work: () => PromiseLike<T>): Promise<T> => {
    if (broken) return await work();
    broken = true;
    if (when === "before") throw connectionError();
    await work();
    throw connectionError();
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

// A short outage of the database during an adoption, the first record of a sandbox, a handover or a detach cost an attempt.
describeEachDatabase("a run's writes while the database is briefly unavailable", (database) => {
  /** What the database stores about a prompt and its session. */
  const stateOf = async (id: string, sessionId: string) => {
    const { orm } = database();
    const row = await promptRow(database(), id);
    const held = await sessionRow(database(), sessionId);
    const messages = await orm
      .select({ seq: message.seq, data: message.data })
      .from(message)
      .where(eq(message.promptId, id))
      .orderBy(asc(message.seq));
    const jobs = await outboxKeys(database(), id);
    const { status, attempt, failures, process, leaseOwner, usage, waitingFor, outage } = row;
    return {
      prompt: { status, attempt, failures, process, leaseOwner, usage, waitingFor, outage },
      session: { sbxConfig: held?.sbxConfig, inboxStatus: held?.inboxStatus, turns: held?.messages.length },
      messages,
      jobs: jobs.length,
    };
  };

  const WAIT = {
    waitingFor: "git_host",
    delayMs: 1000,
    failure: FAILURE,
    outage: { cause: "git_host", since: FAILURE.at, tries: 1 },
  } as const;
  const WRITES: Record<string, (writer: RunWriter) => Promise<void>> = {
    holdSandbox: (writer) => writer.holdSandbox(SANDBOX),
    markAdopted: (writer) => writer.markAdopted({ ...PROCESS, adoptedAt: 0, stalls: 1 }),
    recordCalm: (writer) => writer.recordCalm(),
    recordProcess: (writer) => writer.recordProcess(PROCESS),
    markDelivering: (writer) => writer.markDelivering(PROCESS),
    append: (writer) => writer.append([{ type: "assistant" }, { type: "user" }]),
    "append with progress": (writer) => writer.append([{ type: "assistant" }], { from: 0, to: 10 }),
    finish: (writer) => writer.finish(COMPLETED),
    retry: (writer) => writer.retry({ delayMs: 1000, failure: FAILURE }),
    postpone: (writer) => writer.postpone(WAIT),
    park: (writer) => writer.park(WAIT, 60_000),
    handOver: (writer) => writer.handOver(),
    detach: (writer) => writer.detach(60_000),
  };

  for (const when of ["before", "after"] as const)
    test.each(Object.keys(WRITES))(
      `%s takes effect once when the connection breaks ${when} it`,
      async (name) => {
        const write = WRITES[name];
        if (!write) throw new Error(name);
        const signal = new AbortController().signal;
        const outcomes = [];
        for (const orm of [database().orm, breaking(database().orm, when)]) {
          const { promptId, sessionId } = await seedPrompt(database());
          // The run is the third attempt, so that a number that was decremented twice shows.
          for (let attempt = 1; attempt < 3; attempt += 1) {
            const earlier = await mustClaim(database(), promptId, { ttlMs: EXPIRED_MS });
            await openRunWriter({ orm: database().orm, run: earlier, signal }).recordProcess(PROCESS);
          }
          const run = await mustClaim(database(), promptId);
          await write(openRunWriter({ orm, run, signal }));
          outcomes.push(await stateOf(promptId, sessionId));
          // A detached run would be claimed before the next prompt.
          await database().orm.delete(session).where(eq(session.id, sessionId));
        }
        const [expected, found] = outcomes;
        // A duplicate job is harmless: it wakes a runner once more.
        expect({ ...found, jobs: Math.min(found?.jobs ?? 0, expected?.jobs ?? 0) }).toEqual(
          expected as never,
        );
      },
    );

  test("a superseded run's writes are still refused", async () => {
    const old = await seedRun(database(), { ttlMs: EXPIRED_MS });
    await mustClaim(database(), old.promptId);
    for (const [name, write] of Object.entries(WRITES)) {
      const orm = breaking(database().orm, "before");
      const refused = write(openRunWriter({ orm, run: old, signal: new AbortController().signal }));
      expect(await refused.catch((error) => error), name).toBeInstanceOf(LeaseLost);
    }
  });
});
