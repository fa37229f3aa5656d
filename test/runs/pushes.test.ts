import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { effect } from "../../src/db/effect-tables.ts";
import { describeRuns, shellAgent } from "./fixture.ts";
import { twoMachines } from "./two-machines.ts";

describeRuns("the pushes of runs, in the ledger", (fixture) => {
  const { runOn, push, followUp } = twoMachines(fixture);
  const pushesOf = (sessionId: string) =>
    fixture().database.orm.select().from(effect).where(eq(effect.sessionId, sessionId));
  /** As a crash leaves it between the record and the result. */
  const forgetResult = (sessionId: string) =>
    fixture().database.orm.update(effect).set({ status: "uncertain" }).where(eq(effect.sessionId, sessionId));
  const deliver = async () => {
    const { sessionId, promptId } = await fixture().submit();
    const { branch } = (await fixture().sessionRow(sessionId)) as { branch: string };
    const { commit } = await runOn("here", promptId, shellAgent("echo done > done.txt"));
    return { sessionId, branch, promptId, commit: String(commit) };
  };

  test("a push is one effect, which ends as done", async () => {
    const { sessionId, branch, promptId, commit } = await deliver();
    expect(await pushesOf(sessionId)).toMatchObject([
      {
        ...{ kind: "push", key: commit, status: "done", attempts: 1, promptId },
        target: `${fixture().repository.path}#${branch}`,
        request: { commit },
      },
    ]);
  });

  test("of a push whose result was lost, the branch tells on any machine that it was made", async () => {
    const { sessionId, commit } = await deliver();
    await forgetResult(sessionId);
    const { id } = await push(sessionId);
    expect(await runOn("there", id, shellAgent("true"))).toMatchObject({ status: "Completed" });
    expect(await pushesOf(sessionId)).toMatchObject([{ key: commit, status: "done", attempts: 1 }]);
  });

  test("or that it was not: then it is made, and is the same effect", async () => {
    const { sessionId, branch, commit } = await deliver();
    await forgetResult(sessionId);
    await fixture().repository.git("branch", "-D", branch);
    const { id } = await push(sessionId);
    await runOn("here", id, shellAgent("true"));
    expect((await fixture().repository.git("rev-parse", branch)).trim()).toBe(commit);
    expect(await pushesOf(sessionId)).toMatchObject([{ key: commit, status: "done", attempts: 2 }]);
  });

  test("one that was not made, and of which another commit took the place, has failed", async () => {
    const { sessionId, branch, commit } = await deliver();
    await forgetResult(sessionId);
    await fixture().repository.git("branch", "-D", branch);
    const { id } = await followUp(sessionId, "more");
    await runOn("here", id, shellAgent("echo more > more.txt"));
    expect(await pushesOf(sessionId)).toMatchObject([
      { key: commit, status: "failed", result: { reason: expect.stringContaining("not on the branch") } },
      { status: "done" },
    ]);
  });
});
