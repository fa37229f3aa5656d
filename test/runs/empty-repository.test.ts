import { afterAll, beforeAll, expect, test } from "bun:test";
import { and, eq, ne } from "drizzle-orm";
import { createDemoAgent } from "../../src/agents/demo.ts";
import { effect } from "../../src/db/effect-tables.ts";
import { FIRST_COMMIT } from "../../src/sandboxes/git/first-commit.ts";
import { ask } from "../harness/app.ts";
import { makeRepository, type TestRepository } from "../harness/repository.ts";
import { reviewApp } from "../review/fixture.ts";
import { openSandboxFixture, type SandboxFixture } from "../sandboxes/fixture.ts";
import { describeRuns, shellAgent } from "./fixture.ts";
import { twoMachines } from "./two-machines.ts";

const AGENT = shellAgent("echo mine > README.md");

describeRuns("a session on an empty repository", (fixture) => {
  const { runOn, followUp, push } = twoMachines(fixture);
  /** For reviews: it has run nothing. */
  let third: SandboxFixture;
  beforeAll(async () => {
    third = await openSandboxFixture();
  });
  const opened: { close(): Promise<void> }[] = [];
  afterAll(async () => {
    for (const one of opened) await one.close();
    await third.remove();
  });

  /** @returns what its owner gets of a session's work. */
  const review = async (sessionId: string) => {
    const { get, app, reviews } = reviewApp(fixture().database, third);
    opened.push(reviews);
    const read = async (path: string) => (await get(`/sessions/${sessionId}/${path}`)).json();
    return {
      diff: await read("diff"),
      commits: await read("commits"),
      files: await read("files"),
      sync: (strategy: string) => ask(app, "alice", "POST", `/sessions/${sessionId}/sync`, { strategy }),
    };
  };
  const effectsOf = (sessionId: string) =>
    fixture().database.orm.select().from(effect).where(eq(effect.sessionId, sessionId)).orderBy(effect.id);
  const branchOf = async (sessionId: string) => String((await fixture().sessionRow(sessionId))?.branch);
  const otherwise = async (repo: TestRepository) => {
    await Bun.write(`${repo.path}/README.md`, "theirs\n");
    await repo.git("add", "--all");
    await repo.git("commit", "--quiet", "--message=Theirs");
  };

  test("the project is created: reviewed before and after, and each push is in the ledger", async () => {
    const { submit, sessionRow, promptRow, textsOf } = fixture();
    const repo = await makeRepository({ empty: true });
    const { sessionId, promptId } = await submit(repo.path);
    expect(await review(sessionId)).toMatchObject({
      diff: { base: FIRST_COMMIT, head: FIRST_COMMIT, files: [] },
      commits: { commits: [] },
      files: { entries: [] },
    });
    const { status, commit } = await runOn("here", promptId, createDemoAgent());
    expect(status).toBe("Completed");
    const branch = await branchOf(sessionId);
    const texts = await textsOf(promptId);
    expect(texts[0]).toBe(`There is nothing in ${repo.path} yet: main begins with an empty commit.`);
    expect(texts.at(-1)).toEndWith(
      `was pushed to ${repo.path}. The repository was empty: main was made there first, of an empty commit.`,
    );
    expect(await promptRow(promptId)).toMatchObject({ startCommit: FIRST_COMMIT, commit });
    expect((await sessionRow(sessionId))?.pushedCommit).toBe(String(commit));
    expect(await effectsOf(sessionId)).toMatchObject([
      { key: FIRST_COMMIT, target: `${repo.path}#main`, status: "done", attempts: 1 },
      { key: commit, target: `${repo.path}#${branch}`, status: "done", attempts: 1 },
    ]);
    expect(await review(sessionId)).toMatchObject({
      diff: {
        ...{ base: FIRST_COMMIT, head: commit, mergeable: true },
        files: [{ path: "PROMPTS.md", status: "added" }],
      },
      commits: { commits: [{ id: commit, parents: [FIRST_COMMIT] }] },
      files: { entries: [{ name: "PROMPTS.md" }] },
    });
    await repo.remove();
  });

  test("what a crash has left uncertain of the first push, the next look tells", async () => {
    const { submit, database } = fixture();
    const repo = await makeRepository({ empty: true });
    const { sessionId, promptId } = await submit(repo.path);
    const { commit } = await runOn("here", promptId, AGENT);
    await database.orm
      .update(effect)
      .set({ status: "uncertain" })
      .where(and(eq(effect.sessionId, sessionId), ne(effect.status, "failed")));
    await repo.git("branch", "-D", await branchOf(sessionId));
    const { id } = await push(sessionId);
    await runOn("here", id, AGENT);
    expect(await effectsOf(sessionId)).toMatchObject([
      { key: FIRST_COMMIT, status: "done", attempts: 1 },
      { key: commit, status: "done", attempts: 2 },
    ]);
    await repo.remove();
  });

  test("where somebody else has begun it meanwhile, the work is kept, and goes on and is reviewed on other machines", async () => {
    const { submit, sessionRow, run, depsFor, textsOf } = fixture();
    const repo = await makeRepository({ empty: true });
    const { sessionId, promptId } = await submit(repo.path);
    const { provider } = fixture().machine;
    const open: typeof provider.open = async (...args) => {
      const sandbox = await provider.open(...args);
      await otherwise(repo);
      return sandbox;
    };
    await run(promptId, depsFor(AGENT, { sandboxes: { ...provider, open } }));
    expect((await textsOf(promptId)).at(-1)).toContain(
      `somebody else has pushed a first commit to main since. POST /sessions/${sessionId}/sync joins the two`,
    );
    expect(await sessionRow(sessionId)).toMatchObject({ pushedCommit: null });
    const { diff, commits, sync } = await review(sessionId);
    expect(diff).toMatchObject({
      mergeable: false,
      conflicts: ["README.md"],
      files: [{ path: "README.md", status: "added" }],
    });
    expect(commits).toMatchObject({ commits: [{}, { id: FIRST_COMMIT }] });
    const { body } = await sync("merge");
    expect(body).toMatchObject({ status: "conflicts", conflicts: ["README.md"] });
    expect(body.suggested_prompt).toContain("`git merge --allow-unrelated-histories origin/main`");

    const { id } = await followUp(sessionId, "Join them");
    const joining = [
      "git merge -q --allow-unrelated-histories origin/main || true",
      "echo both > README.md && git add README.md && git commit -qm Join",
    ];
    expect(await runOn("there", id, shellAgent(joining.join("\n")))).toMatchObject({ status: "Completed" });
    const branch = await branchOf(sessionId);
    expect(await repo.git("show", `${branch}:README.md`)).toBe("both\n");
    expect((await repo.git("merge-base", "main", branch)).trim()).toBe(
      (await repo.git("rev-parse", "main")).trim(),
    );
    await repo.remove();
  });

  test("a target branch that is missing is said at once, and no attempt is repeated; the work is kept meanwhile", async () => {
    const { submit, promptRow } = fixture();
    const repo = await makeRepository({ branch: "trunk" });
    const missing = await submit(repo.path);
    await runOn("here", missing.promptId, AGENT);
    const branches = `The repository ${repo.path} has no branch main; it has `;
    expect(await promptRow(missing.promptId)).toMatchObject({
      ...{ status: "Failed", errorKind: "configuration", attempt: 1, notBefore: null },
      error: `${branches}trunk.`,
    });
    await repo.git("branch", "main", "trunk");
    const { sessionId, promptId } = await submit(repo.path);
    await runOn("here", promptId, shellAgent("echo one > one.txt"));
    await repo.git("branch", "-D", "main");
    const second = await followUp(sessionId, "again");
    await runOn("there", second.id, AGENT);
    const kept = " What this session has done is kept: it goes on once main is there again.";
    expect(await promptRow(second.id)).toMatchObject({
      ...{ status: "Failed", attempt: 1 },
      error: `${branches}${await branchOf(sessionId)}, trunk.${kept}`,
    });
    expect((await review(sessionId)).diff).toMatchObject({
      code: "repository_unreadable",
      msg: expect.stringContaining(kept),
    });
    await repo.git("branch", "main", "trunk");
    const third = await followUp(sessionId, "and again");
    await runOn("there", third.id, shellAgent("cat one.txt > two.txt"));
    expect(await repo.git("show", `${await branchOf(sessionId)}:two.txt`)).toBe("one\n");
    await repo.remove();
  });
});
