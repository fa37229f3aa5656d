import { expect, test } from "bun:test";
import { describeRuns, LIMITS, shellAgent } from "./fixture.ts";

describeRuns("the limits of a run", (fixture) => {
  test.each([
    ["timeout", "sleep 600", { timeoutMs: 500 }, "took longer than"],
    ["silence", "echo one; sleep 600", { silenceMs: 1 }, "neither printed nor used"],
  ])("a run is stopped at its limit: %s", async (_, script, limits, reason) => {
    const { depsFor, submit, run, promptRow } = fixture();
    const { promptId } = await submit();
    await run(promptId, depsFor(shellAgent(script), { limits: { ...LIMITS, ...limits } }));
    expect(await promptRow(promptId)).toMatchObject({ status: "Failed", errorKind: "limit" });
    expect((await promptRow(promptId)).error).toContain(reason);
  });

  test("who prints too many events is killed at once: with SIGTERM alone it went on for 5 seconds", async () => {
    const { depsFor, submit, run, promptRow } = fixture();
    const { promptId } = await submit();
    const printed = `echo '{"type":"result","num_turns":77}'; exit`;
    const script = `trap "${printed.replaceAll('"', '\\"')}" TERM; for i in $(seq 1000); do echo '{"type":"system"}'; done; sleep 600 & wait`;
    await run(promptId, depsFor(shellAgent(script), { limits: { ...LIMITS, maxEvents: 100 } }));
    const row = await promptRow(promptId);
    // It never got a SIGTERM that it could have caught.
    expect(row.usage).not.toHaveProperty("turns");
    expect(row.error).toContain("RUN_MAX_EVENTS");
  });

  test("a run is stopped when the disk fills up, and starts over from a clean checkout once there is space", async () => {
    const { machine, depsFor, submit, run, promptRow, sessionRow, skipBackoff } = fixture();
    const { promptId, sessionId } = await submit();
    let checks = 0;
    // There is space at the start of the run, and none at the second check.
    const freeBytes = async () => (checks++ === 1 ? 0 : 1);
    const limited = {
      limits: { ...LIMITS, minFreeBytes: 1 },
      sandboxes: { ...machine.provider, freeBytes },
    };
    await run(promptId, depsFor(shellAgent("echo x > half; sleep 600"), limited));
    expect(await promptRow(promptId)).toMatchObject({
      status: "Queued",
      failures: [{ kind: "transient", error: expect.stringContaining("disk") }],
    });
    await skipBackoff(promptId);
    await run(promptId, depsFor(shellAgent("[ ! -e half ] && echo x > x"), limited));
    expect(await promptRow(promptId)).toMatchObject({ status: "Completed" });
    expect(await sessionRow(sessionId)).toMatchObject({ inboxStatus: "Completed" });
  });

  test("an agent that uses the processor does not count as silent", async () => {
    const { depsFor, submit, run, promptRow } = fixture();
    const { promptId } = await submit();
    const script = "end=$(($(date +%s) + 5)); while [ $(date +%s) -lt $end ]; do :; done; echo done";
    await run(promptId, depsFor(shellAgent(script), { limits: { ...LIMITS, silenceMs: 1_500 } }));
    expect(await promptRow(promptId)).toMatchObject({ status: "Completed" });
  });

  test("while the disk is nearly full no run starts: the prompt waits with the reason and uses no attempt", async () => {
    const { depsFor, submit, run, promptRow } = fixture();
    const { promptId } = await submit();
    const limits = { ...LIMITS, minFreeBytes: 2 ** 60 };
    await run(promptId, depsFor(shellAgent("true"), { limits }));
    const row = await promptRow(promptId);
    expect(row).toMatchObject({ status: "Queued", attempt: 0, errorKind: "transient" });
    expect(row.error).toContain("nearly full");
  });

  test("above the disk budget of checkouts the next run waits with the reason", async () => {
    const { machine, depsFor, submit, run, promptRow } = fixture();
    const { promptId } = await submit();
    const sandboxes = { ...machine.provider, usedBytes: async () => 11 };
    const limits = { ...LIMITS, maxCheckoutBytes: 10 };
    await run(promptId, depsFor(shellAgent("true"), { limits, sandboxes }));
    expect((await promptRow(promptId)).error).toContain("CHECKOUT_DISK_MB");
    expect(await machine.provider.usedBytes()).toBeGreaterThan(1024);
  });

  test("an agent that prints its result and does not exit is stopped, and its run is completed", async () => {
    const { depsFor, submit, run, promptRow, textsOf } = fixture();
    const { promptId } = await submit();
    const result = { type: "result", subtype: "success", is_error: false, result: "All done." };
    const script = `echo work > work.txt; echo '${JSON.stringify(result)}'; sleep 600`;
    await run(promptId, depsFor(shellAgent(script), { limits: { ...LIMITS, resultGraceMs: 300 } }));
    expect(await promptRow(promptId)).toMatchObject({ status: "Completed", error: null });
    expect((await textsOf(promptId)).join("\n")).toContain("did not exit; it was stopped");
  });
});
