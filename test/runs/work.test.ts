import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { agentMemory, sessionChunk, unpushedWork } from "../../src/db/memory-tables.ts";
import { deadLetter } from "../../src/db/tables.ts";
import { revivePrompts } from "../../src/lifecycle/revive.ts";
import { runClaimed } from "../../src/runs/runner.ts";
import { describeRuns, LIMITS, never, shellAgent } from "./fixture.ts";
import { remembering, twoMachines } from "./two-machines.ts";

describeRuns("work", (fixture) => {
  const { runOn, followUp, push, unpushable } = twoMachines(fixture);

  /** Pieces that are neither of this bundle nor of the agent's memory. */
  const unnamedPieces = async (sessionId: string, bundle: string[] = []) => {
    const { orm } = fixture().database;
    const pieces = await orm.select().from(sessionChunk).where(eq(sessionChunk.sessionId, sessionId));
    const memories = await orm.select().from(agentMemory).where(eq(agentMemory.sessionId, sessionId));
    const named = new Set([
      ...bundle,
      ...memories.flatMap(({ files }) => files.flatMap(({ chunks }) => chunks)),
    ]);
    return pieces.map(({ hash }) => hash).filter((hash) => !named.has(hash));
  };
  const kept = (sessionId: string) =>
    fixture().database.orm.select().from(unpushedWork).where(eq(unpushedWork.sessionId, sessionId));

  test("what may not be pushed goes on on another machine, in both directions, and a push ends its keeping", async () => {
    const { sessionId, branch, repository } = await unpushable();
    const [before] = await kept(sessionId);
    const { id: second } = await followUp(sessionId, "the second");
    const there = await runOn("there", second, remembering());
    expect(there.said).toContain("(2 commits");
    const { id: third } = await followUp(sessionId, "the third");
    const back = await runOn("here", third, remembering());
    expect(back.said).toContain("(3 commits");
    const [last] = await kept(sessionId);
    expect(last?.commit).not.toBe(before?.commit);
    // Only the newest bundle is kept.
    expect(await unnamedPieces(sessionId, last?.bundle?.chunks)).toEqual([]);
    await repository.git("branch", "-D", branch);
    const { id: fourth } = await followUp(sessionId, "the fourth");
    const pushed = await runOn("there", fourth, remembering());
    expect(pushed.said).toContain("(4 commits");
    expect(await repository.git("show", `${branch}:work.txt`)).toBe("1\n2\n3\n4\n");
    expect(await kept(sessionId)).toEqual([]);
    expect(await unnamedPieces(sessionId)).toEqual([]);
  });

  test("any machine delivers it when it is asked to, without an agent", async () => {
    const { sessionId, branch, repository, first } = await unpushable();
    await repository.git("branch", "-D", branch);
    const { id } = await push(sessionId);
    const pushed = await runOn("there", id, shellAgent("echo an agent ran"));
    expect(pushed).toMatchObject({ status: "Completed", memory: null, error: null, commit: first.commit });
    expect(pushed.said).toContain("was pushed to");
    expect(pushed.said).not.toContain("an agent ran");
    expect(await repository.git("rev-parse", branch)).toBe(`${first.commit}\n`);
    expect(await kept(sessionId)).toEqual([]);
    // Nothing is left to do, on any machine.
    const { id: again } = await push(sessionId);
    expect(await runOn("here", again, shellAgent("true"))).toMatchObject({ status: "Completed" });
    // The agent does not take it for a prompt that it has missed.
    const { id: next } = await followUp(sessionId, "go on");
    const run = await runOn("here", next, remembering());
    expect(run).toMatchObject({ memory: "resumed" });
    expect(run.said).not.toContain("Push the branch");
    expect(await repository.git("show", `${branch}:work.txt`)).toBe("1\n2\n");
  });

  test("a push that is refused again fails with the reason, and the work stays", async () => {
    const { sessionId, branch } = await unpushable();
    const { id } = await push(sessionId);
    const refused = await runOn("there", id, shellAgent("true"));
    expect(refused).toMatchObject({ status: "Failed" });
    expect(refused.error).toContain(`has a branch ${branch} that this session did not make`);
    expect(refused.said.split("did not make").length).toBe(2);
    expect(await kept(sessionId)).toHaveLength(1);
  });

  // A prompt on another machine went on without it, and a push of it was completed with nothing pushed.
  test("that is too large for the database is waited for on another machine, and goes on and is pushed on its own", async () => {
    const limits = { maxUnpushedBytes: 0 };
    const { sessionId, branch, repository, first } = await unpushable(limits);
    const { skipBackoff, sessionRow } = fixture();
    const { id: second } = await followUp(sessionId, "the second");
    const there = await runOn("there", second, remembering(), limits);
    expect(there).toMatchObject({ status: "Queued" });
    expect(there.error).toContain("only on the machine");
    expect((await sessionRow(sessionId))?.waiting).toMatchObject({ for: "machine" });
    await skipBackoff(second);
    const back = await runOn("here", second, remembering(), limits);
    expect(back.said).toContain("(2 commits");
    const { id } = await push(sessionId);
    await repository.git("branch", "-D", branch);
    expect(await runOn("there", id, shellAgent("true"))).toMatchObject({ status: "Queued" });
    expect(await repository.git("branch", "--list", branch)).toBe("");
    await skipBackoff(id);
    expect(await runOn("here", id, shellAgent("true"))).toMatchObject({
      status: "Completed",
      commit: back.commit,
    });
    expect(await repository.git("rev-parse", `${branch}~1`)).toBe(`${first.commit}\n`);
    expect(await kept(sessionId)).toEqual([]);
  });

  test("whose machine does not come back is never said to be pushed: the dead letter says where it is, and what to do", async () => {
    const { sessionId, branch, repository } = await unpushable({ maxUnpushedBytes: 0 });
    await repository.git("branch", "-D", branch);
    const { id } = await push(sessionId);
    const limits = { ...LIMITS, retryTransientMs: 0 };
    const lost = await runOn("there", id, shellAgent("true"), { limits });
    expect(lost).toMatchObject({ status: "Failed" });
    const { database, machine } = fixture();
    const [letter] = await database.orm.select().from(deadLetter).where(eq(deadLetter.entityId, id));
    expect(letter?.lastError).toBe(lost.error as string);
    expect(lost.error).toContain(`host-id ${machine.provider.host}. Start the service there. If`);
    // It would not be true any more.
    expect(lost.error).not.toContain("The prompt runs as soon as");
    expect(lost.error).toContain("fork the session at an earlier prompt, or begin a new one");
    expect(await repository.git("branch", "--list", branch)).toBe("");
    // Its machine is back after all.
    await database.orm.transaction((tx) => revivePrompts(tx, [id]));
    expect(await runOn("here", id, shellAgent("true"))).toMatchObject({ status: "Completed" });
    expect(await repository.git("branch", "--list", branch)).not.toBe("");
  });

  test("that was too large for the database is kept there as soon as the limit allows it", async () => {
    const { sessionId, branch, repository, first } = await unpushable({ maxUnpushedBytes: 0 });
    const { id: refused } = await push(sessionId);
    expect(await runOn("here", refused, shellAgent("true"))).toMatchObject({ status: "Failed" });
    expect(await kept(sessionId)).toMatchObject([{ commit: first.commit, host: null }]);
    await repository.git("branch", "-D", branch);
    const { id } = await push(sessionId);
    expect(await runOn("there", id, shellAgent("true"))).toMatchObject({ status: "Completed" });
    expect(await repository.git("rev-parse", branch)).toBe(`${first.commit}\n`);
  });

  test("a push of a session without work has nothing to do", async () => {
    const { submit } = fixture();
    const { sessionId, promptId } = await submit();
    await runOn("here", promptId, shellAgent("true"));
    const { id } = await push(sessionId);
    const run = await runOn("there", id, shellAgent("true"));
    expect(run).toMatchObject({ status: "Completed" });
    expect(run.said).toContain("No changes");
  });

  test("a cancelled push does not push", async () => {
    const { sessionId, branch, repository } = await unpushable();
    await repository.git("branch", "-D", branch);
    const { id } = await push(sessionId);
    const { claim, depsFor, cancel, promptRow, machine } = fixture();
    const claimed = await claim(id);
    const provider = {
      ...machine.provider,
      async push(...args: Parameters<typeof machine.provider.push>) {
        await cancel(sessionId, id);
        return machine.provider.push(...args);
      },
    };
    await runClaimed(depsFor(shellAgent("true"), { sandboxes: provider }), claimed, never);
    expect(await promptRow(id)).toMatchObject({ status: "Cancelled" });
    expect(await repository.git("branch", "--list", branch)).toBe("");
  });

  test("of an agent that is killed at each attempt is saved after the last one", async () => {
    const { depsFor, submit, run, promptRow, sessionRow, waitForText, killAgent, skipBackoff, fileOnBranch } =
      fixture();
    const { sessionId, promptId } = await submit();
    for (let attempt = 1; attempt <= 5; attempt += 1) {
      const running = run(
        promptId,
        depsFor(shellAgent(`echo ${attempt} > half.txt; echo at ${attempt}; sleep 600`)),
      );
      await waitForText(promptId, `at ${attempt}`);
      await killAgent(sessionId);
      await running;
      await skipBackoff(promptId);
    }
    expect(await promptRow(promptId)).toMatchObject({ status: "Failed", errorKind: "transient" });
    expect(await fileOnBranch((await sessionRow(sessionId))?.branch, "half.txt")).toBe("5\n");
  });

  test("of which the disk has lost a part is not saved", async () => {
    const { machine, depsFor, submit, run, promptRow, sessionRow, skipBackoff, fileOnBranch } = fixture();
    const { sessionId, promptId } = await submit();
    const open: typeof machine.provider.open = async (...args) => ({
      ...(await machine.provider.open(...args)),
      intact: async () => false,
    });
    const deps = depsFor(shellAgent("echo once > work.txt"), { sandboxes: { ...machine.provider, open } });
    for (let attempt = 1; attempt <= 5; attempt += 1) {
      await run(promptId, deps);
      await skipBackoff(promptId);
    }
    expect(await promptRow(promptId)).toMatchObject({
      status: "Failed",
      errorKind: "transient",
      commit: null,
    });
    await expect(fileOnBranch((await sessionRow(sessionId))?.branch, "work.txt")).rejects.toThrow();
  });
});
