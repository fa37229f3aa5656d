import { expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { prompt, session } from "../../src/db/tables.ts";
import { closeCancelled, remindOfCancellations } from "../../src/lifecycle/enforce-cancellations.ts";
import { LeaseLost } from "../../src/lifecycle/fence.ts";
import { claimOutbox } from "../../src/queue/outbox.ts";
import { describeEachDatabase, seedSession, writerOf } from "../harness/databases.ts";
import { until } from "../harness/until.ts";
import { claimIn, OK, sessionRow } from "../runs/rows.ts";

const PROCESS = { host: "here", id: "p", pid: 1, started: 1, boot: "b" };
const OVERDUE_MS = 60_000;

describeEachDatabase("cancelled runs that do not end", (database) => {
  const cancelledLongAgo = async () => {
    const { promptIds, sessionId } = await seedSession(database(), 2);
    const [promptId = "", next = ""] = promptIds;
    const run = await claimIn(database(), promptId);
    const { orm } = database();
    await orm.update(session).set({ cancellationStatus: "Requested" }).where(eq(session.id, sessionId));
    const cancelRequestedAt = sql`now() - interval '90 seconds'`;
    await orm.update(prompt).set({ cancelRequestedAt }).where(eq(prompt.id, promptId));
    return { orm, run, sessionId, promptId, next };
  };
  const statusOf = async (id: string) =>
    (await database().orm.select().from(prompt).where(eq(prompt.id, id)))[0]?.status;

  test("a run that its runner does not end is fenced off, and the session is cancelled", async () => {
    const { promptIds, sessionId } = await seedSession(database(), 1);
    const [promptId = ""] = promptIds;
    const { orm } = database();
    const run = await claimIn(database(), promptId);
    await orm.update(session).set({ cancellationStatus: "Requested" }).where(eq(session.id, sessionId));
    await orm
      .update(prompt)
      .set({ cancelRequestedAt: sql`now() - interval '90 seconds'` })
      .where(eq(prompt.id, promptId));
    expect(await remindOfCancellations(orm)).toBeGreaterThan(0);
    expect(await closeCancelled(orm, 120_000)).toBe(0);
    expect(await closeCancelled(orm, 60_000)).toBeGreaterThan(0);
    expect(writerOf(orm, run).finish(OK)).rejects.toBeInstanceOf(LeaseLost);
    await until(async () => (await closeCancelled(orm, 60_000)) > 0, {
      what: "the session to be closed too",
    });
    expect(await sessionRow(database(), sessionId)).toMatchObject({
      inboxStatus: "Cancelled",
      cancellationStatus: "Cancelled",
    });
  });

  // It was fenced off after a minute although git alone may take ten, and its sandbox was returned during the packing.
  test("a runner that delivers under a live lease is not fenced off; one whose lease expired long ago is", async () => {
    const { orm, run, promptId } = await cancelledLongAgo();
    const writer = writerOf(orm, run);
    await writer.recordProcess(PROCESS);
    await writer.markDelivering(PROCESS);
    await closeCancelled(orm, OVERDUE_MS);
    expect(await statusOf(promptId)).toBe("Running");
    const leaseExpiresAt = sql`now() - interval '90 seconds'`;
    await orm.update(prompt).set({ leaseExpiresAt }).where(eq(prompt.id, promptId));
    await closeCancelled(orm, OVERDUE_MS);
    expect(await statusOf(promptId)).toBe("Cancelled");
    expect(writer.finish(OK)).rejects.toBeInstanceOf(LeaseLost);
  });

  test("a runner that does not react is fenced off", async () => {
    const { orm, run, promptId } = await cancelledLongAgo();
    await writerOf(orm, run).recordProcess(PROCESS);
    await closeCancelled(orm, OVERDUE_MS);
    expect(await statusOf(promptId)).toBe("Cancelled");
  });

  // It waited for the session-poller's grace of half a minute: its own job had come and gone.
  test("closing a prompt dispatches the session's next one", async () => {
    const { orm, sessionId, next } = await cancelledLongAgo();
    await claimOutbox(orm, 1000);
    await closeCancelled(orm, OVERDUE_MS);
    expect(await sessionRow(database(), sessionId)).toMatchObject({ inboxStatus: "Pending" });
    expect(await claimOutbox(orm, 1000)).toMatchObject([{ payload: { prompt_id: next } }]);
  });
});
