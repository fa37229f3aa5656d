import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { agentMemory } from "../../src/db/memory-tables.ts";
import { prompt, session } from "../../src/db/tables.ts";
import { forkSession } from "../../src/sessions/fork-store.ts";
import { AppError } from "../../src/shared/errors.ts";
import { describeRuns, shellAgent } from "./fixture.ts";
import { remembering, twoMachines } from "./two-machines.ts";

const BY_ALICE = { userId: "alice", branchPrefix: "prompt/" };

describeRuns("a fork", (fixture) => {
  const { runOn, followUp, twoPrompts, unpushable } = twoMachines(fixture);
  const fork = async (sessionId: string, promptId?: string) =>
    (await fixture().database.orm.transaction((tx) => forkSession(tx, { ...BY_ALICE, sessionId, promptId })))
      .sessionId;
  const refusal = async (sessionId: string, promptId?: string) => {
    const error = await fork(sessionId, promptId).catch((thrown: unknown) => thrown);
    return error instanceof AppError ? error.code : error;
  };
  /** A session in which the agent was told two things. */
  const twoTurns = async () => {
    const made = await twoPrompts();
    const secondRun = await runOn("here", made.second, remembering());
    return { ...made, secondRun };
  };
  const work = async (sessionId: string, repository = fixture().repository) =>
    repository.git("show", `${(await fixture().sessionRow(sessionId))?.branch}:work.txt`);

  test("goes on from the end of a prompt, with the commit and the memory of that time, on any machine", async () => {
    const { sessionId, first, firstRun } = await twoTurns();
    const forked = await fork(sessionId, first);
    const { id } = await followUp(forked, "another second");
    const run = await runOn("there", id, remembering());
    expect(run).toMatchObject({ status: "Completed", memory: "resumed", reason: null });
    expect(run.said).toContain("Do it\\nanother second");
    expect(run.said).not.toContain("the second");
    expect(await work(forked)).toBe("1\n2\n");
    const { sessionRow, repository } = fixture();
    const row = await sessionRow(forked);
    expect(row).toMatchObject({
      parent: sessionId,
      startCommit: firstRun.commit,
      repo: repository.path,
    });
    expect(row?.title).toBe("Fork of Do it");
    // The original is as it was, and goes on by itself.
    const { id: third } = await followUp(sessionId, "the third");
    const original = await runOn("there", third, remembering());
    expect(original.said).toContain("Do it\\nthe second\\nthe third");
    expect(original.said).not.toContain("another");
    expect(await work(sessionId)).toBe("1\n2\n3\n");
    // And the fork too.
    const { id: last } = await followUp(forked, "the fourth");
    expect((await runOn("here", last, remembering())).said).toContain("Do it\\nanother second\\nthe fourth");
    expect(await work(forked)).toBe("1\n2\n3\n");
  });

  test("begins where the last prompt has ended, if none is named, whatever waits behind it", async () => {
    const { sessionId, secondRun } = await twoTurns();
    await followUp(sessionId, "it waits");
    const forked = await fork(sessionId);
    const row = await fixture().sessionRow(forked);
    expect(row?.startCommit).toBe(secondRun.commit ?? "");
    expect(row?.messages.map(({ role, content }) => [role, content.split("\n")[0]])).toEqual([
      ["user", "Do it"],
      ["assistant", expect.any(String)],
      ["user", "the second"],
      ["assistant", expect.any(String)],
    ]);
  });

  test("of a branch that may not be pushed has the work from the database", async () => {
    const { sessionId, promptId, repository } = await unpushable();
    const { id: second } = await followUp(sessionId, "the second");
    await runOn("here", second, remembering());
    const forked = await fork(sessionId, promptId);
    const { id } = await followUp(forked, "another second");
    expect(await runOn("there", id, remembering())).toMatchObject({ status: "Completed", memory: "resumed" });
    expect(await work(forked, repository)).toBe("1\n2\n");
  });

  // The bundle had the branch's tip alone: "git ended with 7".
  test("at work that the agent rewrote later, and could not push, has it from the database", async () => {
    const { sessionId, promptId, repository } = await unpushable();
    const { id: second } = await followUp(sessionId, "the second");
    await runOn("here", second, shellAgent("git reset -q --hard origin/main; echo other > other.txt"));
    // By way of a machine that has it from the database, too.
    const { id: third } = await followUp(sessionId, "the third");
    await runOn("there", third, shellAgent("git commit -q --allow-empty --amend -m Amended"));
    const forked = await fork(sessionId, promptId);
    await Bun.$`rm -rf ${fixture().machine.dataDir}/repos`.quiet();
    const { id } = await followUp(forked, "another second");
    expect(await runOn("here", id, remembering())).toMatchObject({ status: "Completed", memory: "resumed" });
    expect(await work(forked, repository)).toBe("1\n2\n");
  });

  test("at pushed work needs no other machine, although what came later is on one alone", async () => {
    const { submit, machine } = fixture();
    const { repository } = machine;
    const { sessionId, promptId } = await submit(repository.path);
    await runOn("here", promptId, remembering());
    await repository.git("config", "receive.hideRefs", "refs/heads/prompt");
    const { id: second } = await followUp(sessionId, "the second");
    const kept = await runOn("here", second, remembering(), { maxUnpushedBytes: 0 });
    await repository.git("config", "--unset", "receive.hideRefs");
    expect(kept.said).toContain("kept on this machine only");
    const forked = await fork(sessionId, promptId);
    const { id } = await followUp(forked, "another second");
    expect(await runOn("there", id, remembering())).toMatchObject({ status: "Completed", memory: "resumed" });
    expect(await work(forked, repository)).toBe("1\n2\n");
    // At the later work it does.
    const later = await fork(sessionId);
    const { id: waits } = await followUp(later, "go on");
    expect(await runOn("there", waits, remembering())).toMatchObject({ status: "Queued" });
    await fixture().skipBackoff(waits);
    expect(await runOn("here", waits, remembering())).toMatchObject({ status: "Completed" });
    expect(await work(later, repository)).toBe("1\n2\n3\n");
  });

  test("stays at its commit when the target branch goes on", async () => {
    const { submit, machine, sessionRow } = fixture();
    const { repository } = machine;
    const { sessionId, promptId } = await submit(repository.path);
    await runOn("here", promptId, remembering());
    const branch = (await sessionRow(sessionId))?.branch ?? "";
    const { id: second } = await followUp(sessionId, "the second");
    await runOn("here", second, remembering());
    await repository.git("update-ref", "refs/heads/main", branch);
    const forked = await fork(sessionId, promptId);
    const look = shellAgent("cat work.txt");
    for (const where of ["there", "there", "here"] as const) {
      const { id } = await followUp(forked, "look");
      await runOn(where, id, look);
      expect((await fixture().textsOf(id))[0]).toBe("1");
      expect((await fixture().textsOf(id))[1]).not.toBe("2");
    }
  });

  test("whose commit nobody has any more says so", async () => {
    const { submit, machine, sessionRow } = fixture();
    const { repository } = machine;
    const { sessionId, promptId } = await submit(repository.path);
    await runOn("here", promptId, remembering());
    const branch = (await sessionRow(sessionId))?.branch ?? "";
    await repository.git("branch", "-D", branch);
    await repository.git("reflog", "expire", "--expire=now", "--all");
    await repository.git("gc", "--quiet", "--prune=now");
    const forked = await fork(sessionId);
    const { id } = await followUp(forked, "go on");
    const run = await runOn("there", id, remembering());
    expect(run).toMatchObject({ status: "Failed" });
    expect(run.error).toContain("which this session was forked from, is no longer in");
  });

  test("of a fork has the first one's conversation and memory", async () => {
    const { sessionId, first } = await twoTurns();
    const middle = await fork(sessionId, first);
    const { id } = await followUp(middle, "in the middle");
    await runOn("there", id, remembering());
    const last = await fork(middle);
    const asked = (await fixture().sessionRow(last))?.messages.filter(({ role }) => role === "user");
    expect(asked?.map(({ content }) => content)).toEqual(["Do it", "in the middle"]);
    const { id: end } = await followUp(last, "at the end");
    const run = await runOn("here", end, remembering());
    expect(run).toMatchObject({ memory: "resumed" });
    expect(run.said).toContain("Do it\\nin the middle\\nat the end");
    // Its memory is lost, and what was said before the forks is not.
    await fixture().database.orm.delete(agentMemory).where(eq(agentMemory.sessionId, last));
    const { id: replayed } = await followUp(last, "again");
    const again = await runOn("there", replayed, remembering());
    expect(again).toMatchObject({ memory: "replayed" });
    for (const text of ["Do it", "in the middle", "at the end"]) expect(again.said).toContain(text);
    expect(await work(last)).toStartWith("1\n2\n3\n");
  });

  test("goes on from the conversation's cost", async () => {
    const { database } = fixture();
    const { sessionId, first, second } = await twoTurns();
    const cost = (id: string, usd: number) =>
      database.orm
        .update(prompt)
        .set({ usage: { cost_usd: usd } })
        .where(eq(prompt.id, id));
    await cost(first, 0.25);
    await cost(second, 0.5);
    const forked = await fork(sessionId, first);
    expect(await fixture().sessionRow(forked)).toMatchObject({ earlierCostUsd: 0.25 });
    const { id } = await followUp(forked, "go on");
    expect((await fixture().claim(id)).earlierCostUsd).toBe(0.25);
  });

  test("needs a prompt that has ended, and a commit that is known", async () => {
    const { database, submit } = fixture();
    const { sessionId, promptId } = await submit();
    expect(await refusal(sessionId)).toBe("prompt_unfinished");
    expect(await refusal(sessionId, promptId)).toBe("prompt_unfinished");
    expect(await refusal(sessionId, crypto.randomUUID())).toBe("prompt_not_found");
    const other = await submit();
    expect(await refusal(sessionId, other.promptId)).toBe("prompt_not_found");
    await runOn("here", promptId, remembering());
    await database.orm.update(prompt).set({ commit: null }).where(eq(prompt.id, promptId));
    expect(await refusal(sessionId)).toBe("commit_unknown");
    await database.orm.update(session).set({ userId: "bob" }).where(eq(session.id, sessionId));
    expect(await refusal(sessionId)).toBe("session_not_found");
  });
});
