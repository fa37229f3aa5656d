import { expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { prompt } from "../../src/db/tables.ts";
import { LeaseLost } from "../../src/lifecycle/fence.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { renewLeases } from "../../src/runs/lease-store.ts";
import { type LeaseManager, openLeaseManager } from "../../src/runs/leases.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { claimRun, EXPIRED_MS, mustClaim, seedRun, TTL_MS } from "../harness/seed.ts";
import { until } from "../harness/until.ts";

describeEachDatabase("leases", (database) => {
  test("a heartbeat renews the leases that this runner holds, and no others", async () => {
    const { orm } = database();
    const { promptId, epoch } = await seedRun(database(), { owner: "heart", ttlMs: EXPIRED_MS });
    expect(await renewLeases(orm, "another", [promptId], TTL_MS)).toEqual(new Map());
    expect(await renewLeases(orm, "heart", [promptId], TTL_MS)).toEqual(
      new Map([[promptId, { epoch, cancelRequested: false, asks: false, mail: false }]]),
    );
    expect(await claimRun(orm, promptId, { owner: "another" })).toBeUndefined();
  });

  test("a lease that its runner released expires, although the runner renews others", async () => {
    const { orm } = database();
    const released = await seedRun(database(), { owner: "heart" });
    const kept = await seedRun(database(), { owner: "heart" });
    await orm.update(prompt).set({ leaseExpiresAt: sql`now() - interval '1 second'` });
    await renewLeases(orm, "heart", [kept.promptId], TTL_MS);
    expect(await claimRun(orm, released.promptId, { owner: "another" })).toMatchObject({ epoch: 2 });
  });
});

describeEachDatabase("the lease manager", (database) => {
  const withManager = async (work: (leases: LeaseManager) => Promise<void>) => {
    const logger = createLogger({ level: "silent" });
    const leases = openLeaseManager({ orm: database().orm, owner: crypto.randomUUID(), logger });
    await work(leases).finally(() => leases.close());
  };

  test("the lease of a superseded run is lost", () =>
    withManager(async (leases) => {
      const run = await seedRun(database(), { owner: leases.owner, ttlMs: EXPIRED_MS });
      const lease = leases.hold(run);
      await mustClaim(database(), run.promptId, { owner: "another" });
      leases.refresh();
      await until(() => lease.lost.aborted, { what: "the lease to be lost" });
      expect(lease.lost.reason).toBeInstanceOf(LeaseLost);
    }));

  test("a heartbeat learns of a cancellation, and the lease is kept", () =>
    withManager(async (leases) => {
      const run = await seedRun(database(), { owner: leases.owner });
      const lease = leases.hold(run);
      const cancelRequestedAt = sql`now()`;
      await database().orm.update(prompt).set({ cancelRequestedAt }).where(eq(prompt.id, run.promptId));
      leases.refresh();
      await until(() => lease.cancelled.aborted, { what: "the cancellation" });
      expect(lease.lost.aborted).toBe(false);
    }));

  test("the release of an earlier lease keeps a later one of the same prompt", () =>
    withManager(async (leases) => {
      const run = await seedRun(database(), { owner: leases.owner });
      const [earlier, later] = [leases.hold(run), leases.hold({ ...run, epoch: run.epoch + 1 })];
      earlier.release();
      leases.cancel(run.promptId);
      expect([earlier.cancelled.aborted, later.cancelled.aborted]).toEqual([false, true]);
    }));
});
