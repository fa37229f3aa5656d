import { expect, test } from "bun:test";
import { sql } from "drizzle-orm";
import { prompt } from "../../src/db/tables.ts";
import { renewLeases } from "../../src/runs/claim.ts";
import { claimRun, describeEachDatabase, seedSession, writerOf } from "../harness/databases.ts";
import { claimIn, TTL } from "./rows.ts";

describeEachDatabase("leases and takeovers", (database) => {
  const claim = (promptId: string, ttl?: number) => claimIn(database(), promptId, ttl);

  test("a runner that dies while an agent works has used an attempt", async () => {
    const { promptIds } = await seedSession(database(), 1);
    const run = await claim(promptIds[0] ?? "", -1000);
    await writerOf(database().orm, run).recordProcess({
      host: "here",
      id: crypto.randomUUID(),
      pid: 1,
      started: 2,
      boot: "b",
    });
    expect(await claim(run.promptId)).toMatchObject({ attempt: 2 });
  });

  test("a lease that its runner gave up expires, although the runner renews others", async () => {
    const { orm } = database();
    const [given, kept] = [await seedSession(database(), 1), await seedSession(database(), 1)].map(
      ({ promptIds }) => promptIds[0] ?? "",
    );
    for (const id of [given, kept]) await claimRun(orm, id ?? "", "heart", TTL);
    await orm.update(prompt).set({ leaseExpiresAt: sql`now() - interval '1 second'` });
    await renewLeases(orm, "heart", [kept ?? ""], TTL);
    expect(await claimRun(orm, given ?? "", "another", TTL)).toMatchObject({ epoch: 2 });
  });

  test("an agent's own machine may take over first; during delivery, others wait even longer", async () => {
    const { orm } = database();
    const at = async (seconds: number, delivering: boolean, host: string) => {
      const { promptIds } = await seedSession(database(), 1);
      const run = await claim(promptIds[0] ?? "", -seconds * 1000);
      const process = { host: "there", id: crypto.randomUUID(), pid: 1, started: 2, boot: "b", delivering };
      await writerOf(orm, run).recordProcess(process);
      return (await claimRun(orm, run.promptId, "next", TTL, host)) !== undefined;
    };
    expect(await at(1, false, "there")).toBe(true);
    expect(await at(1, false, "elsewhere")).toBe(false);
    expect(await at(4, false, "elsewhere")).toBe(true);
    expect(await at(4, true, "there")).toBe(true);
    expect(await at(30, true, "elsewhere")).toBe(false);
    expect(await at(61, true, "elsewhere")).toBe(true);
  });
});
