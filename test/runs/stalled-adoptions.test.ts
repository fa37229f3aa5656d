import { expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { deadLetter, prompt } from "../../src/db/tables.ts";
import { prepare } from "../../src/runs/prepare.ts";
import { isAlive } from "../../src/sandboxes/process/identity.ts";
import { writerOf } from "../harness/seed.ts";
import { until } from "../harness/until.ts";
import { describeRuns, never, shellAgent } from "./fixture.ts";

const EXPIRED = { leaseExpiresAt: sql`now() - interval '1 second'` };
const POISON = "echo poison; sleep 600";

describeRuns("adoptions without progress", (fixture) => {
  /** A runner that starts or adopts the agent and dies before it has stored anything. */
  const dieAfterPreparing = async (promptId: string, script: string) => {
    const { database, depsFor, claim } = fixture();
    const run = await claim(promptId);
    const agent = shellAgent(script);
    const { process, record } = await prepare(
      { ...depsFor(agent), agent },
      run,
      writerOf(database.orm, run),
      never,
    );
    await until(async () => script.startsWith("sleep") || Bun.file(process.output).size > 0, {
      what: "output of the agent",
    });
    process.detach();
    await database.orm.update(prompt).set(EXPIRED).where(eq(prompt.id, promptId));
    return record;
  };
  const stallsOf = async (promptId: string) => (await fixture().promptRow(promptId)).process?.stalls;

  test("output that kills each runner that reads it ends as a dead letter, and its agent is killed", async () => {
    const { database, depsFor, submit, run, promptRow } = fixture();
    const { promptId } = await submit();
    // The runner that starts the agent, the first adoption, and three without progress since.
    for (let runners = 0; runners < 4; runners += 1) await dieAfterPreparing(promptId, POISON);
    const record = (await promptRow(promptId)).process;
    expect(record?.stalls).toBe(2);
    await run(promptId, depsFor(shellAgent(POISON)));
    expect(await promptRow(promptId)).toMatchObject({ status: "Failed", errorKind: "poison" });
    expect(record && (await isAlive(record))).toBe(false);
    const [entry] = await database.orm.select().from(deadLetter).where(eq(deadLetter.entityId, promptId));
    expect(entry?.lastError).toContain("died several times while it read the agent's output");
  });

  test("a quiet agent survives any number of crashes of the service", async () => {
    const { cancel, depsFor, submit, run } = fixture();
    const { sessionId, promptId } = await submit();
    for (let runners = 0; runners < 7; runners += 1) await dieAfterPreparing(promptId, "sleep 600");
    expect(await stallsOf(promptId)).toBe(0);
    await cancel(sessionId, promptId);
    await run(promptId, depsFor(shellAgent("true")));
  });

  test.each(["recordCalm", "detach"] as const)(
    "%s of a runner shows that the output is harmless",
    async (how) => {
      const { cancel, claim, database, depsFor, submit, run } = fixture();
      const { sessionId, promptId } = await submit();
      for (let runners = 0; runners < 4; runners += 1) await dieAfterPreparing(promptId, POISON);
      expect(await stallsOf(promptId)).toBe(2);
      await writerOf(database.orm, await claim(promptId))[how](0);
      expect(await stallsOf(promptId)).toBeUndefined();
      await database.orm.update(prompt).set(EXPIRED).where(eq(prompt.id, promptId));
      expect((await dieAfterPreparing(promptId, POISON)).stalls).toBe(0);
      await cancel(sessionId, promptId);
      await run(promptId, depsFor(shellAgent("true")));
    },
  );
});
