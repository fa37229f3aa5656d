import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { effect } from "../../src/db/effect-tables.ts";
import { addPrompt, addSync } from "../../src/prompts/create-store.ts";
import type { SyncStrategy } from "../../src/sandboxes/sandbox.ts";
import { describeRuns, shellAgent } from "./fixture.ts";

describeRuns("a run that takes the target branch in", (fixture) => {
  /** A session with work of its own, while somebody changes the target branch. */
  const diverged = async (script: string) => {
    const { submit, run, depsFor, repository, sessionRow } = fixture();
    const { sessionId, promptId } = await submit();
    await run(promptId, depsFor(shellAgent(script)));
    const branch = String((await sessionRow(sessionId))?.branch);
    await Bun.write(`${repository.path}/theirs.txt`, `${crypto.randomUUID()}\n`);
    await repository.git("add", "--all");
    await repository.git("commit", "--quiet", "--message=Theirs");
    const sync = async (strategy: SyncStrategy) => {
      const wanted = { userId: "alice", author: undefined, sessionId, maxUnfinished: 1_000, strategy };
      const { id } = await fixture().database.orm.transaction((tx) => addSync(tx, wanted));
      await run(id, depsFor(shellAgent("echo an agent ran")));
      return { id, row: await fixture().promptRow(id), said: (await fixture().textsOf(id)).join("\n") };
    };
    return { sessionId, branch, sync };
  };

  test.each(["merge", "rebase"] as const)(
    "%s: it is pushed, without an agent, and the next prompt works on it",
    async (strategy) => {
      const { repository, run, depsFor, database, promptRow } = fixture();
      const { sessionId, branch, sync } = await diverged("echo mine > mine.txt");
      const { row, said } = await sync(strategy);
      expect(row).toMatchObject({ status: "Completed", memory: null, error: null });
      expect(said).toContain("was pushed to");
      expect(said).not.toContain("an agent ran");
      expect((await repository.git("rev-parse", branch)).trim()).toBe(String(row?.commit));
      expect((await fixture().sessionRow(sessionId))?.pushedCommit).toBe(row?.commit ?? "");
      const effects = await database.orm.select().from(effect).where(eq(effect.sessionId, sessionId));
      expect(effects.map((one) => [one.status, one.key === row?.commit])).toEqual([
        ["done", false],
        ["done", true],
      ]);
      const merges = (await repository.git("rev-list", "--merges", `main..${branch}`))
        .trim()
        .split("\n")
        .filter(Boolean);
      expect(merges).toHaveLength(strategy === "merge" ? 1 : 0);
      const { id } = await database.orm.transaction((tx) =>
        addPrompt(tx, {
          ...{
            userId: "alice",
            author: undefined,
            sessionId,
            data: "x",
            text: "x",
            priority: 0,
            maxUnfinished: 9,
          },
        }),
      );
      await run(id, depsFor(shellAgent("cat mine.txt theirs.txt && echo next > next.txt")));
      expect(await promptRow(id)).toMatchObject({ status: "Completed", startCommit: row?.commit });
      expect(await repository.git("show", `${branch}:next.txt`)).toBe("next\n");
    },
  );

  test("where git cannot do it the prompt fails with the files, and the work stays as it was", async () => {
    const { repository } = fixture();
    const { branch, sync } = await diverged("echo mine > theirs.txt");
    const before = await repository.git("rev-parse", branch);
    const { row } = await sync("merge");
    expect(row).toMatchObject({ status: "Failed", errorKind: "configuration" });
    expect(row?.error).toContain("both sides changed theirs.txt");
    expect(row?.error).toContain("/sync says which prompt would have the agent do it");
    expect(await repository.git("rev-parse", branch)).toBe(before);
  });
});
