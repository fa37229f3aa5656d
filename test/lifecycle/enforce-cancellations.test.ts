import { expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { prompt, session } from "../../src/db/tables.ts";
import { closeCancelled } from "../../src/lifecycle/enforce-cancellations.ts";
import { LeaseLost } from "../../src/lifecycle/fence.ts";
import { claimOutbox } from "../../src/queue/outbox.ts";
import { describeEachDatabase, seedSession, writerOf } from "../harness/databases.ts";
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

  // It was fenced off after a minute although git alone may take ten, and its sandbox was returned during the packing.
  test("a live runner that delivers is left alone; one whose lease is long gone is not", async () => {
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

  test("one that runs and does not react is closed", async () => {
    const { orm, run, promptId } = await cancelledLongAgo();
    await writerOf(orm, run).recordProcess(PROCESS);
    await closeCancelled(orm, OVERDUE_MS);
    expect(await statusOf(promptId)).toBe("Cancelled");
  });

  // It waited for the session-poller's grace of half a minute: its own job had come and gone.
  test("the session's next prompt is dispatched with the closing", async () => {
    const { orm, sessionId, next } = await cancelledLongAgo();
    await claimOutbox(orm, 1000);
    await closeCancelled(orm, OVERDUE_MS);
    expect(await sessionRow(database(), sessionId)).toMatchObject({ inboxStatus: "Pending" });
    expect(await claimOutbox(orm, 1000)).toMatchObject([{ payload: { prompt_id: next } }]);
  });
});
