import { expect, test } from "bun:test";
import { requestCancel } from "../../src/lifecycle/cancel.ts";
import { CHANNELS } from "../../src/queue/names.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { COMPLETED, claimRun, mustClaim, seedSession, sessionRow, writerOf } from "../harness/seed.ts";
import { until } from "../harness/until.ts";

describeEachDatabase("cancelling a session", (database) => {
  test("waiting prompts never start, the runner is notified, and a second request changes nothing", async () => {
    const { promptIds, sessionId } = await seedSession(database(), 3);
    const [first = "", second = ""] = promptIds;
    const { orm, listen } = database();
    const notified: string[] = [];
    const unlisten = await listen(CHANNELS.cancel, (id) => void notified.push(id));
    const cancel = () => orm.transaction((tx) => requestCancel(tx, { sessionId, by: "alice" }));
    const run = await mustClaim(database(), first);
    await cancel();
    await cancel();
    await until(() => notified.length === 2 && notified.every((id) => id === first), {
      what: "the runner to be notified",
    });
    expect(await sessionRow(database(), sessionId)).toMatchObject({
      cancellationStatus: "Requested",
      cancelledBy: "alice",
    });
    await writerOf(orm, run).finish(COMPLETED);
    expect(await sessionRow(database(), sessionId)).toMatchObject({
      cancellationStatus: "Cancelled",
      inboxStatus: "Cancelled",
    });
    expect(await claimRun(orm, second)).toBeUndefined();
    const { cancelledAt } = (await sessionRow(database(), sessionId)) ?? {};
    await cancel();
    expect(await sessionRow(database(), sessionId)).toMatchObject({ cancelledAt, inboxStatus: "Cancelled" });
    await unlisten();
  });
});
