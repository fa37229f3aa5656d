import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { deadLetter, prompt } from "../../src/db/tables.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { MAX_CLAIMS } from "../../src/runs/failures.ts";
import type { RunnerDeps } from "../../src/runs/runner.ts";
import { RepositoryError, type Sandbox } from "../../src/sandboxes/sandbox.ts";
import { describeRuns, diskFull, HALF_DONE, shellAgent } from "./fixture.ts";

type BrokenSandbox = Partial<Pick<RunnerDeps["sandboxes"], "open"> & Pick<Sandbox, "intact" | "deliverWork">>;

describeRuns("failed runs", (fixture) => {
  const deadLettersOf = (promptId: string) =>
    fixture().database.orm.select().from(deadLetter).where(eq(deadLetter.entityId, promptId));

  test("a configuration failure and a failure of the agent fail at once, without a dead letter", async () => {
    const { database, depsFor, submit, run, promptRow } = fixture();
    const away = await submit("file:///nowhere");
    await run(away.promptId, depsFor(shellAgent("true")));
    expect(await promptRow(away.promptId)).toMatchObject({ status: "Failed", errorKind: "configuration" });
    const own = await submit();
    await run(own.promptId, depsFor(shellAgent("exit 3")));
    expect(await promptRow(own.promptId)).toMatchObject({ status: "Failed", errorKind: "agent" });
    expect(await database.orm.select().from(deadLetter)).toEqual([]);
  });

  test("a transient failure is retried; after five attempts the prompt is a dead letter", async () => {
    const { machine, depsFor, submit, run, promptRow, sessionRow, skipBackoff } = fixture();
    const { sessionId, promptId } = await submit();
    const open = () => Promise.reject(diskFull());
    const deps = depsFor(shellAgent("true"), { sandboxes: { ...machine.provider, open } });
    for (let attempt = 1; attempt <= 5; attempt += 1) {
      await run(promptId, deps);
      const status = attempt < 5 ? "Queued" : "Failed";
      expect(await promptRow(promptId)).toMatchObject({ attempt, errorKind: "transient", status });
      await skipBackoff(promptId);
    }
    const [entry] = await deadLettersOf(promptId);
    expect(entry).toMatchObject({ kind: "transient", retryCount: 5, userId: "alice" });
    if (!entry) throw new Error("no dead letter");
    const { failures } = entry.entityData as { failures: unknown[] };
    expect(failures).toHaveLength(5);
    expect(await sessionRow(sessionId)).toMatchObject({ sessionStatus: "Failed" });
  });

  test("a failed delivery is retried without running the agent again", async () => {
    const { machine, depsFor, submit, run, promptRow, sessionRow, fileOnBranch } = fixture();
    const { sessionId, promptId } = await submit();
    let failures = 0;
    const open: RunnerDeps["sandboxes"]["open"] = async (...args) => {
      const sandbox = await machine.provider.open(...args);
      return {
        ...sandbox,
        async deliverWork(...rest) {
          const result = await sandbox.deliverWork(...rest);
          if (failures++ === 0) throw diskFull();
          return result;
        },
      };
    };
    const sandboxes = { ...machine.provider, open };
    await run(promptId, depsFor(shellAgent("echo once >> work.txt"), { sandboxes }));
    expect(await promptRow(promptId)).toMatchObject({ status: "Completed", attempt: 1 });
    expect(await fileOnBranch((await sessionRow(sessionId))?.branch, "work.txt")).toBe("once\n");
  });

  // Found by chaos: a run did not end, and nothing said where it was.
  test.each([
    ["prepare", { open: () => Promise.reject(diskFull()) }],
    ["watch", { intact: async () => false }],
    ["deliver", { deliverWork: () => Promise.reject(new RepositoryError("refused")) }],
  ] as const)("at the step %s say so in the log", async (step, { open, ...broken }: BrokenSandbox) => {
    const { machine, depsFor, submit, run } = fixture();
    const { promptId } = await submit();
    const lines: string[] = [];
    const logger = createLogger({ level: "warn", write: (line) => void lines.push(line) });
    const opened: RunnerDeps["sandboxes"]["open"] = async (...args) => ({
      ...(await machine.provider.open(...args)),
      ...broken,
    });
    const sandboxes = { ...machine.provider, open: open ?? opened };
    await run(promptId, depsFor(shellAgent("echo work > work.txt"), { sandboxes, logger }));
    const [failed = "{}"] = lines.filter((line) => line.includes("run failed"));
    expect(JSON.parse(failed)).toMatchObject({ prompt_id: promptId, step });
  });

  // Found by chaos: a full disk had lost the file, and the prompt was Completed without it.
  test("a run of whose work the machine's disk has lost a part starts over from a clean checkout", async () => {
    const { machine, depsFor, submit, run, promptRow, sessionRow, skipBackoff, fileOnBranch } = fixture();
    const { sessionId, promptId } = await submit();
    let losses = 1;
    const open: RunnerDeps["sandboxes"]["open"] = async (...args) => ({
      ...(await machine.provider.open(...args)),
      intact: async () => losses-- <= 0,
    });
    const deps = depsFor(shellAgent("echo once >> work.txt"), { sandboxes: { ...machine.provider, open } });
    await run(promptId, deps);
    const postponed = await promptRow(promptId);
    expect(postponed).toMatchObject({ status: "Queued", errorKind: "transient" });
    expect(postponed?.error).toContain("a part of the work was lost");
    await skipBackoff(promptId);
    await run(promptId, deps);
    expect(await promptRow(promptId)).toMatchObject({ status: "Completed" });
    expect(await fileOnBranch((await sessionRow(sessionId))?.branch, "work.txt")).toBe("once\n");
  });

  test("a prompt whose runners keep dying becomes a dead letter, with its work on the branch", async () => {
    const { database, depsFor, submit, run, promptRow, sessionRow, detachAfter, killAgent, fileOnBranch } =
      fixture();
    const { sessionId, promptId } = await submit();
    await detachAfter(promptId, depsFor(shellAgent(HALF_DONE)), "begun");
    await killAgent(sessionId);
    await database.orm.update(prompt).set({ attempt: 5 }).where(eq(prompt.id, promptId));
    await run(promptId, depsFor(shellAgent("echo started again")));
    expect(await promptRow(promptId)).toMatchObject({ status: "Failed", errorKind: "poison" });
    const row = await sessionRow(sessionId);
    expect(row).toMatchObject({ sessionStatus: "Failed" });
    expect(await fileOnBranch(row?.branch, "half.txt")).toBe("half\n");
    expect(await deadLettersOf(promptId)).toHaveLength(1);
  });

  // It said "failed after 5 attempts", of which there had been none.
  test("a prompt whose runners die before its agent starts becomes a dead letter that says so", async () => {
    const { database, depsFor, submit, run, promptRow } = fixture();
    const cause = "the disk is broken";
    const failures = [{ attempt: 1, at: new Date().toISOString(), kind: "transient" as const, error: cause }];
    for (const [before, error] of [
      [[], "its runner died 100 times, of which the service's log tells more."],
      [
        failures,
        `its runner died 99 times, of which the service's log tells more. Its last failure: ${cause}`,
      ],
    ] as const) {
      const { promptId } = await submit();
      const claimed = { leaseEpoch: MAX_CLAIMS, failures: [...before] };
      await database.orm.update(prompt).set(claimed).where(eq(prompt.id, promptId));
      await run(promptId, depsFor(shellAgent("true")));
      expect(await promptRow(promptId)).toMatchObject({
        ...{ status: "Failed", errorKind: "poison" },
        error: `This prompt was given up because ${error}`,
      });
    }
  });
});
