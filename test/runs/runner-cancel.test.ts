import { expect, test } from "bun:test";
import { addPrompt } from "../../src/prompts/create-store.ts";
import { runClaimed } from "../../src/runs/runner.ts";
import { MARKER } from "../../src/sandboxes/process/processes.ts";
import { describeRuns, never, shellAgent } from "./fixture.ts";

describeRuns("cancelling a prompt", (fixture) => {
  test("while its agent works: the process tree ends, and the partial work is on the branch", async () => {
    const { depsFor, submit, run, promptRow, sessionRow, waitForText, cancel, fileOnBranch } = fixture();
    const { sessionId, promptId } = await submit();
    const script = `trap "" TERM; echo half > half.txt
      setsid sh -c 'trap "" TERM HUP; while :; do sleep 0.05; done' & echo begun; while :; do sleep 0.05; done`;
    const running = run(promptId, depsFor(shellAgent(script)));
    await waitForText(promptId, "begun");
    const sandboxId = (await sessionRow(sessionId))?.sbxConfig?.id ?? "";
    await cancel(sessionId, promptId);
    await running;
    expect(await promptRow(promptId)).toMatchObject({ status: "Cancelled", error: "The run was cancelled." });
    const row = await sessionRow(sessionId);
    expect(row).toMatchObject({ inboxStatus: "Cancelled", cancellationStatus: "Cancelled" });
    expect(await fileOnBranch(row?.branch, "half.txt")).toBe("half\n");
    expect(await Bun.$`grep -lsz ${`${MARKER}=${sandboxId}`} /proc/[0-9]*/environ`.nothrow().text()).toBe("");
  });

  test("before its agent starts: it never starts, and a follow-up runs", async () => {
    const { database, depsFor, submit, claim, run, promptRow, sessionRow, textsOf, cancel } = fixture();
    const { sessionId, promptId } = await submit();
    const claimed = await claim(promptId);
    await cancel(sessionId, promptId);
    await runClaimed(depsFor(shellAgent("echo started")), { ...claimed, cancelRequested: true }, never);
    expect(await textsOf(promptId)).toEqual(["The run was cancelled."]);
    expect(await promptRow(promptId)).toMatchObject({ status: "Cancelled" });
    const followUp = {
      userId: "alice",
      author: undefined,
      sessionId,
      data: "Again",
      text: "Again",
      priority: 0,
      maxUnfinished: 9,
    };
    const { id: next } = await database.orm.transaction((tx) => addPrompt(tx, followUp));
    await run(next, depsFor(shellAgent("cat")));
    expect(await promptRow(next)).toMatchObject({ status: "Completed" });
    expect(await sessionRow(sessionId)).toMatchObject({ inboxStatus: "Completed", cancellationStatus: null });
  });
});
