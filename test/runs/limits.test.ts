import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { eq } from "drizzle-orm";
import { prompt, session } from "../../src/db/tables.ts";
import { agentOf, LIMITS, openRunBench, type RunBench } from "./fixture.ts";

const LONG = 60_000;

describe("the limits of a run", () => {
  let bench: RunBench;
  beforeAll(async () => {
    bench = await openRunBench();
  }, LONG);
  afterAll(() => bench.close());

  test.each([
    ["timeout", "sleep 600", { timeoutMs: 500 }, "took longer than"],
    ["silence", "echo one; sleep 600", { silenceMs: 1 }, "neither printed nor used"],
  ])(
    "a run is stopped at its limit: %s",
    async (_, script, limits, reason) => {
      const { depsFor, submit, run, promptRow } = bench;
      const { promptId } = await submit();
      await run(promptId, depsFor(agentOf(script), { limits: { ...LIMITS, ...limits } }));
      expect(await promptRow(promptId)).toMatchObject({ status: "Failed", errorKind: "limit" });
      expect((await promptRow(promptId)).error).toContain(reason);
    },
    LONG,
  );

  test(
    "a run is stopped when the disk fills, and starts over from a clean checkout once there is space",
    async () => {
      const { database, depsFor, submit, run, promptRow, sessionRow } = bench;
      const { promptId, sessionId } = await submit();
      let looks = 0;
      // There is space for it to start, and none when it is looked at again.
      const freeBytes = async () => (looks++ === 1 ? 0 : 1);
      const limited = {
        limits: { ...LIMITS, minFreeBytes: 1 },
        sandboxes: { ...bench.stage.provider, freeBytes },
      };
      await run(promptId, depsFor(agentOf("echo x > half; sleep 600"), limited));
      expect(await promptRow(promptId)).toMatchObject({
        status: "Queued",
        failures: [{ kind: "transient", error: expect.stringContaining("disk") }],
      });
      await database.orm.update(prompt).set({ notBefore: null }).where(eq(prompt.id, promptId));
      await run(promptId, depsFor(agentOf("[ ! -e half ] && echo x > x"), limited));
      expect(await promptRow(promptId)).toMatchObject({ status: "Completed" });
      expect(await sessionRow(sessionId)).toMatchObject({ inboxStatus: "Completed" });
    },
    LONG,
  );

  test(
    "an agent that uses the processor does not count as silent",
    async () => {
      const { depsFor, submit, run, promptRow } = bench;
      const { promptId } = await submit();
      const script = "end=$(($(date +%s) + 5)); while [ $(date +%s) -lt $end ]; do :; done; echo done";
      const limits = { ...LIMITS, silenceMs: 1_500 };
      await run(promptId, depsFor(agentOf(script), { limits }));
      expect(await promptRow(promptId)).toMatchObject({ status: "Completed" });
    },
    LONG,
  );

  test(
    "while the disk is nearly full no run starts: the prompt waits, says why, and uses no attempt",
    async () => {
      const { depsFor, submit, run, promptRow } = bench;
      const { promptId } = await submit();
      const limits = { ...LIMITS, minFreeBytes: 2 ** 60 };
      await run(promptId, depsFor(agentOf("true"), { limits }));
      const row = await promptRow(promptId);
      expect(row).toMatchObject({ status: "Queued", attempt: 0, errorKind: "transient" });
      expect(row.error).toContain("nearly full");
    },
    LONG,
  );

  test(
    "above the disk budget of checkouts the next run waits and says so",
    async () => {
      const { depsFor, submit, run, promptRow } = bench;
      const { promptId } = await submit();
      const sandboxes = { ...bench.stage.provider, usedBytes: async () => 11 };
      const limits = { ...LIMITS, maxCheckoutBytes: 10 };
      await run(promptId, depsFor(agentOf("true"), { limits, sandboxes }));
      expect((await promptRow(promptId)).error).toContain("CHECKOUT_DISK_MB");
      expect(await bench.stage.provider.usedBytes()).toBeGreaterThan(1024);
    },
    LONG,
  );

  test(
    "an agent that prints its result and does not exit is stopped, and counts as completed",
    async () => {
      const { depsFor, submit, run, promptRow, textsOf } = bench;
      const { promptId } = await submit();
      const result = JSON.stringify({
        type: "result",
        subtype: "success",
        is_error: false,
        result: "All done.",
      });
      const script = `echo work > work.txt; echo '${result}'; sleep 600`;
      await run(promptId, depsFor(agentOf(script), { limits: { ...LIMITS, resultGraceMs: 300 } }));
      expect(await promptRow(promptId)).toMatchObject({ status: "Completed", error: null });
      expect((await textsOf(promptId)).join("\n")).toContain("did not exit; it was stopped");
    },
    LONG,
  );

  test("only what sessions hold is left", async () => {
    const { stage, database } = bench;
    const held = await database.orm.select({ config: session.sbxConfig }).from(session);
    const ids = held.flatMap(({ config }) => config?.id ?? []);
    for (const id of await readdir(join(stage.dataDir, "sandboxes"))) expect(ids).toContain(id);
  });
});
