import { expect, test } from "bun:test";
import { and, eq } from "drizzle-orm";
import { effect, pullRequest } from "../../src/db/effect-tables.ts";
import { describeRuns, shellAgent } from "./fixture.ts";
import { twoMachines } from "./two-machines.ts";

describeRuns("pull requests that nobody asks for", (fixture) => {
  const { followUp } = twoMachines(fixture);
  const run = (promptId: string, script: string) =>
    fixture().run(
      promptId,
      fixture().depsFor(shellAgent(script), {
        pullRequestOf: ({ branch }) => ({
          target: `https://git.example/a/b#${branch}`,
          request: { base: "main", draft: true },
        }),
      }),
    );
  const wanted = (sessionId: string) =>
    fixture()
      .database.orm.select()
      .from(effect)
      .where(and(eq(effect.sessionId, sessionId), eq(effect.kind, "pull_request")));

  test("one is intended when a run has pushed its branch, once however many follow", async () => {
    const { sessionId, promptId } = await fixture().submit();
    await run(promptId, "echo 1 > a");
    const [first] = await wanted(sessionId);
    expect(first).toMatchObject({ status: "intended", request: { base: "main", draft: true } });
    const { id } = await followUp(sessionId, "more");
    await run(id, "echo 2 > a");
    expect((await wanted(sessionId)).map(({ id: one }) => one)).toEqual([String(first?.id)]);
  });

  test("none of a run that failed or changed nothing, and none after one was closed", async () => {
    const failed = await fixture().submit();
    await run(failed.promptId, "echo 1 > a; exit 1");
    expect(await wanted(failed.sessionId)).toEqual([]);
    const idle = await fixture().submit();
    await run(idle.promptId, "true");
    expect(await wanted(idle.sessionId)).toEqual([]);
    await fixture()
      .database.orm.insert(pullRequest)
      .values({
        ...{ sessionId: idle.sessionId, effectId: idle.sessionId, number: 1, url: "u", title: "t" },
        ...{ state: "closed", draft: false, base: "main", createdAt: new Date(0) },
      });
    const { id } = await followUp(idle.sessionId, "more");
    await run(id, "echo 1 > a");
    expect(await wanted(idle.sessionId)).toEqual([]);
  });
});
