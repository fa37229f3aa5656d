import { expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { prompt, session } from "../../src/db/tables.ts";
import { closeCancelled, remindOfCancellations } from "../../src/lifecycle/enforce-cancellations.ts";
import { LeaseLost } from "../../src/lifecycle/fence.ts";
import { claimOutbox } from "../../src/queue/outbox.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import {
  COMPLETED,
  mustClaim,
  PROCESS,
  promptRow,
  seedSession,
  sessionRow,
  writerOf,
} from "../harness/seed.ts";
import { until } from "../harness/until.ts";

const OVERDUE_MS = 60_000;

describeEachDatabase("closing cancelled runs", (database) => {
  /** A run that was cancelled 90 s ago, in a session with this many waiting prompts behind it. */
  const seedCancelled = async (waiting: number) => {
    const { promptIds, sessionId } = await seedSession(database(), 1 + waiting);
    const [promptId = "", next = ""] = promptIds;
    const run = await mustClaim(database(), promptId);
    const { orm } = database();
    await orm.update(session).set({ cancellationStatus: "Requested" }).where(eq(session.id, sessionId));
    const cancelRequestedAt = sql`now() - interval '90 seconds'`;
    await orm.update(prompt).set({ cancelRequestedAt }).where(eq(prompt.id, promptId));
    return { orm, run, sessionId, promptId, next };
  };
  const statusOf = async (id: string) => (await promptRow(database(), id)).status;

  test("a run that its runner does not end is fenced off, and the session is cancelled", async () => {
    const { orm, run, sessionId } = await seedCancelled(0);
    expect(await remindOfCancellations(orm)).toBeGreaterThan(0);
    expect(await closeCancelled(orm, 120_000)).toBe(0);
    expect(await closeCancelled(orm, OVERDUE_MS)).toBeGreaterThan(0);
    await expect(writerOf(orm, run).finish(COMPLETED)).rejects.toBeInstanceOf(LeaseLost);
    await until(async () => (await closeCancelled(orm, OVERDUE_MS)) > 0, {
      what: "the session to be closed",
    });
    expect(await sessionRow(database(), sessionId)).toMatchObject({
      inboxStatus: "Cancelled",
      cancellationStatus: "Cancelled",
    });
  });

  // Such a runner was fenced off after a minute although git alone may take ten, and its sandbox was returned meanwhile.
  test("a runner that delivers is fenced off only when its lease expired long ago", async () => {
    const { orm, run, promptId } = await seedCancelled(1);
    const writer = writerOf(orm, run);
    await writer.recordProcess(PROCESS);
    await writer.markDelivering(PROCESS);
    await closeCancelled(orm, OVERDUE_MS);
    expect(await statusOf(promptId)).toBe("Running");
    const leaseExpiresAt = sql`now() - interval '90 seconds'`;
    await orm.update(prompt).set({ leaseExpiresAt }).where(eq(prompt.id, promptId));
    await closeCancelled(orm, OVERDUE_MS);
    expect(await statusOf(promptId)).toBe("Cancelled");
    await expect(writer.finish(COMPLETED)).rejects.toBeInstanceOf(LeaseLost);
  });

  test("a runner that does not react is fenced off", async () => {
    const { orm, run, promptId } = await seedCancelled(1);
    await writerOf(orm, run).recordProcess(PROCESS);
    await closeCancelled(orm, OVERDUE_MS);
    expect(await statusOf(promptId)).toBe("Cancelled");
  });

  // The next prompt waited 30 s for the session-poller, because its own job had been consumed already.
  test("closing a prompt dispatches the session's next one", async () => {
    const { orm, sessionId, next } = await seedCancelled(1);
    await claimOutbox(orm, 1000);
    await closeCancelled(orm, OVERDUE_MS);
    expect(await sessionRow(database(), sessionId)).toMatchObject({ inboxStatus: "Pending" });
    expect(await claimOutbox(orm, 1000)).toMatchObject([{ payload: { prompt_id: next } }]);
  });
});
