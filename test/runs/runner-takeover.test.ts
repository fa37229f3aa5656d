import { expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { prompt } from "../../src/db/tables.ts";
import { DETACHED } from "../../src/lifecycle/end-run.ts";
import { openLeaseManager } from "../../src/runs/leases.ts";
import { type RunnerDeps, runClaimed } from "../../src/runs/runner.ts";
import { PROCESS } from "../harness/seed.ts";
import { describeRuns, diskFull, HALF_DONE, logger, never, shellAgent } from "./fixture.ts";

describeRuns("takeovers", (fixture) => {
  /** A run whose agent was killed, with its supervisor, while its runner watched. */
  const runCutShort = async () => {
    const { depsFor, submit, run, waitForText, killAgent } = fixture();
    const ids = await submit();
    const first = run(ids.promptId, depsFor(shellAgent(HALF_DONE)));
    await waitForText(ids.promptId, "begun");
    await killAgent(ids.sessionId);
    await first;
    return ids;
  };

  /** Sandboxes that deliver, and the shutdown that comes before anybody learns of it. */
  const shutDownAfterDelivery = () => {
    const { provider } = fixture().machine;
    const shutdown = new AbortController();
    const open: RunnerDeps["sandboxes"]["open"] = async (...args) => {
      const sandbox = await provider.open(...args);
      return {
        ...sandbox,
        async deliverWork(...rest) {
          await sandbox.deliverWork(...rest);
          shutdown.abort(new Error("shutting down"));
          throw new Error("interrupted");
        },
      };
    };
    return { sandboxes: { ...provider, open }, shutdown: shutdown.signal };
  };

  test("a superseded runner leaves the agent to the one that adopted it, and no line is lost or duplicated", async () => {
    const { database, depsFor, submit, claim, run, promptRow, textsOf, waitForText } = fixture();
    const { promptId } = await submit();
    const agent = shellAgent("for i in $(seq 60); do echo line $i; sleep 0.03; done; cat > work.txt");
    const first = run(promptId, depsFor(agent));
    await waitForText(promptId, "line 5");
    const leaseExpiresAt = sql`now() - interval '1 second'`;
    await database.orm.update(prompt).set({ leaseExpiresAt }).where(eq(prompt.id, promptId));
    const other = openLeaseManager({ orm: database.orm, owner: "another process", logger });
    await runClaimed(depsFor(agent, { leases: other }), await claim(promptId, other.owner), never);
    await first;
    await other.close();
    expect(await promptRow(promptId)).toMatchObject({ status: "Completed", attempt: 1 });
    expect((await textsOf(promptId)).slice(0, 60)).toEqual(
      Array.from({ length: 60 }, (_, n) => `line ${n + 1}`),
    );
  });

  // The prompt was handed over: what its agent had done, and had perhaps delivered, was done again.
  test("a process that shuts down before it has adopted an agent leaves it to the next one", async () => {
    const { depsFor, submit, run, promptRow, sessionRow, detachAfter, fileOnBranch } = fixture();
    const { sessionId, promptId } = await submit();
    const deps = depsFor(shellAgent("echo begun; echo once >> work.txt"));
    await detachAfter(promptId, deps, "begun");
    await run(promptId, deps, AbortSignal.abort(new Error("shutting down")));
    expect(await promptRow(promptId)).toMatchObject({ status: "Running", leaseOwner: DETACHED });
    await run(promptId, deps);
    expect(await promptRow(promptId)).toMatchObject({ status: "Completed", attempt: 1 });
    expect(await fileOnBranch((await sessionRow(sessionId))?.branch, "work.txt")).toBe("once\n");
  });

  // Cause: it had failed without a runner, as far as the next one knew, and could be resumed. The line was on the branch twice.
  test.each([
    ["has failed", {}],
    ["says that it has lost its conversation", { lostConversation: true }],
  ])("an agent that %s does not begin again once its work may have left the sandbox", async (_, verdict) => {
    const { depsFor, submit, run, promptRow, sessionRow, fileOnBranch } = fixture();
    const { sessionId, promptId } = await submit();
    let starts = 0;
    const plain = shellAgent("echo once >> work.txt; exit 1", { hasTranscript: async () => true });
    const command: typeof plain.command = (request) => {
      starts += 1;
      return plain.command(request);
    };
    const reader = () => {
      const read = plain.reader();
      return { ...read, verdict: (exit) => ({ ...read.verdict(exit), ...verdict }) } as typeof read;
    };
    const { sandboxes, shutdown } = shutDownAfterDelivery();
    await run(promptId, depsFor({ ...plain, command }, { sandboxes }), shutdown);
    expect(await promptRow(promptId)).toMatchObject({
      status: "Running",
      leaseOwner: DETACHED,
      process: { delivering: true, resumed: true },
    });
    await run(promptId, depsFor({ ...plain, command, reader }));
    expect(await promptRow(promptId)).toMatchObject({ status: "Failed", errorKind: "agent", attempt: 1 });
    expect(starts).toBe(1);
    expect(await fileOnBranch((await sessionRow(sessionId))?.branch, "work.txt")).toBe("once\n");
  });

  // Found by chaos: the line was on the branch twice.
  test.each(["leave", "stop"] as const)(
    "work that may have left the sandbox is not done again after a shutdown with handover=%s",
    async (handover) => {
      const { depsFor, submit, run, promptRow, sessionRow, fileOnBranch } = fixture();
      const { sessionId, promptId } = await submit();
      const agent = shellAgent("echo once >> work.txt");
      const { sandboxes, shutdown } = shutDownAfterDelivery();
      await run(promptId, depsFor(agent, { sandboxes, handover }), shutdown);
      expect(await promptRow(promptId)).toMatchObject({ status: "Running", leaseOwner: DETACHED });
      await run(promptId, depsFor(agent));
      expect(await promptRow(promptId)).toMatchObject({ status: "Completed", attempt: 1 });
      expect(await fileOnBranch((await sessionRow(sessionId))?.branch, "work.txt")).toBe("once\n");
    },
  );

  test("a killed agent with a transcript resumes in its checkout, and a message says so", async () => {
    const { depsFor, submit, run, promptRow, textsOf, detachAfter, killAgent } = fixture();
    const { sessionId, promptId } = await submit();
    await detachAfter(promptId, depsFor(shellAgent(HALF_DONE)), "begun");
    expect(await promptRow(promptId)).toMatchObject({ status: "Running", leaseOwner: DETACHED });
    await killAgent(sessionId);
    const withTranscript = shellAgent("cat half.txt; cat", { hasTranscript: async () => true });
    await run(promptId, depsFor(withTranscript));
    const texts = await textsOf(promptId);
    expect(texts).toContain("The service was interrupted; the agent resumes its work.");
    expect(texts).toContain("half");
    expect(texts.join("\n")).toContain("You were interrupted");
    expect(texts.join("\n")).toContain("Do it");
    expect(await promptRow(promptId)).toMatchObject({ status: "Completed", attempt: 2 });
  });

  test("an agent killed with its supervisor while its runner watches: another attempt, from a clean checkout", async () => {
    const { depsFor, run, promptRow, textsOf, skipBackoff } = fixture();
    const { promptId } = await runCutShort();
    expect(await promptRow(promptId)).toMatchObject({ status: "Queued", errorKind: "transient", attempt: 1 });
    await skipBackoff(promptId);
    await run(promptId, depsFor(shellAgent("ls; cat > whole.txt")));
    expect(await promptRow(promptId)).toMatchObject({ status: "Completed", attempt: 2 });
    expect(await textsOf(promptId)).not.toContain("half.txt");
  });

  test("a run that was cut short starts again with a note, so that no line seems to be there twice", async () => {
    const { depsFor, run, promptRow, textsOf, skipBackoff } = fixture();
    const { promptId } = await runCutShort();
    await skipBackoff(promptId);
    // The next claim finds the disk full and the one after that does not: the note is there once.
    const open = () => Promise.reject(diskFull());
    await run(promptId, depsFor(shellAgent("true"), { sandboxes: { ...fixture().machine.provider, open } }));
    await skipBackoff(promptId);
    await run(promptId, depsFor(shellAgent("echo begun; cat > whole.txt")));
    expect(await promptRow(promptId)).toMatchObject({ status: "Completed" });
    expect((await textsOf(promptId)).slice(0, 3)).toEqual([
      "begun",
      "The run was cut short; the prompt starts again from a clean checkout.",
      "begun",
    ]);
  });

  test("work that may have left the sandbox is not repeated if its agent is lost: it is saved where it still is, and the prompt is interrupted", async () => {
    const { database, depsFor, submit, run, promptRow, detachAfter, killAgent } = fixture();
    const { textsOf, sessionRow, fileOnBranch } = fixture();
    const { sessionId, promptId } = await submit();
    await detachAfter(promptId, depsFor(shellAgent(HALF_DONE)), "begun");
    await killAgent(sessionId);
    const process = sql`${prompt.process} || '{"delivering": true}'`;
    await database.orm.update(prompt).set({ process }).where(eq(prompt.id, promptId));
    await run(promptId, depsFor(shellAgent("echo started")));
    expect(await promptRow(promptId)).toMatchObject({ status: "Failed", errorKind: "interrupted" });
    const branch = (await sessionRow(sessionId))?.branch;
    expect(await fileOnBranch(branch, "half.txt")).toBe("half\n");
    expect((await textsOf(promptId)).join()).toContain(`Branch ${branch} (1 commit`);
  });

  test("work that may have left the sandbox is not repeated elsewhere: the prompt is interrupted", async () => {
    const { depsFor, submit, claim, promptRow, textsOf } = fixture();
    const { promptId } = await submit();
    const claimed = await claim(promptId);
    const process = { ...PROCESS, host: "gone", delivering: true };
    const sbxConfig = { provider: "local", id: crypto.randomUUID(), host: "gone" } as const;
    await runClaimed(depsFor(shellAgent("echo started")), { ...claimed, process, sbxConfig }, never);
    expect(await promptRow(promptId)).toMatchObject({ status: "Failed", errorKind: "interrupted" });
    expect((await textsOf(promptId)).join()).not.toContain("started");
  });
});
