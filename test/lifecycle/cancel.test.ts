import { expect, test } from "bun:test";
import { requestCancel } from "../../src/lifecycle/cancel.ts";
import { CHANNELS } from "../../src/queue/names.ts";
import { claimRun, describeEachDatabase, seedSession, writerOf } from "../harness/databases.ts";
import { until } from "../harness/until.ts";
import { claimIn, OK, sessionRow } from "../runs/rows.ts";

describeEachDatabase("a cancelled session", (database) => {
  const claim = (promptId: string, ttl?: number) => claimIn(database(), promptId, ttl);

  test("waiting prompts never start, and the runner is notified; a second request changes nothing", async () => {
    const { promptIds, sessionId } = await seedSession(database(), 3);
    const [first = "", second = ""] = promptIds;
    const { orm, listen } = database();
    const told: string[] = [];
    const unlisten = await listen(CHANNELS.cancel, (id) => void told.push(id));
    const cancel = () => orm.transaction((tx) => requestCancel(tx, { sessionId, by: "alice" }));
    const run = await claim(first);
    await cancel();
    await cancel();
    await until(() => told.length === 2 && told.every((id) => id === first), {
      what: "the runner to be told",
    });
    expect(await sessionRow(database(), sessionId)).toMatchObject({
      cancellationStatus: "Requested",
      cancelledBy: "alice",
    });
    await writerOf(orm, run).finish(OK);
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
