import { afterAll, beforeAll, expect, test } from "bun:test";
import { ask } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { makeRepository, type TestRepository } from "../harness/repository.ts";
import { promptRow } from "../harness/seed.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { reviewApp, seedWork } from "../review/fixture.ts";
import { openSandboxFixture, type SandboxFixture } from "../sandboxes/fixture.ts";
import { commitStates, type State } from "../sandboxes/git/histories.ts";

const one = (text: string) => ({ mode: "100644", content: Buffer.from(text) });
const BEFORE: State = new Map([["a", one("1\n")]]);
const WORK: State = new Map([["a", one("2\n")]]);

describeEachDatabase("taking the target branch in", (database) => {
  let sandboxes: SandboxFixture;
  let repo: TestRepository;
  let start: string;

  beforeAll(async () => {
    sandboxes = await openSandboxFixture();
    repo = await makeRepository();
    await commitStates(repo, [
      { branch: "main", state: BEFORE },
      { branch: "prompt/one", state: WORK },
    ]);
    start = (await repo.git("rev-parse", "main")).trim();
  }, SLOW_TEST_TIMEOUT_MS);
  afterAll(async () => {
    await sandboxes.remove();
    await repo.remove();
  });

  /** Asks for it in a session of its own, while the target branch has this on top of where the work began. */
  async function sync(states: readonly State[], body?: unknown) {
    await repo.git("update-ref", "refs/heads/main", start);
    if (states.length > 0) {
      await commitStates(repo, [
        { branch: "main", state: BEFORE },
        ...states.map((state) => ({ branch: "main", state })),
      ]);
      // The work builds on the first of them: the same state at the same time is the same commit.
      expect((await repo.git("rev-parse", `main~${states.length}`)).trim()).toBe(start);
    }
    const commit = (await repo.git("rev-parse", "prompt/one")).trim();
    const user = crypto.randomUUID();
    const { sessionId } = await seedWork(database(), repo, {
      ...{ branch: "prompt/one", user, prompts: [{ start, commit }] },
    });
    const { app, reviews } = reviewApp(database(), sandboxes);
    const path = `/sessions/${sessionId}/sync`;
    const reply = await ask(app, user, "POST", path, body);
    const stranger = await ask(app, "mallory", "POST", path);
    await reviews.close();
    expect(stranger.status).toBe(404);
    return reply.body;
  }

  test("there is nothing to do where the branch has it already", async () => {
    expect(await sync([])).toMatchObject({ success: true, status: "up_to_date", prompt_id: null });
  });

  test("work that was merged has nothing to take in, until the target branch moves on", async () => {
    expect(await sync([WORK])).toMatchObject({ status: "up_to_date" });
    expect(await sync([WORK, new Map([...WORK, ["b", one("x\n")]])])).toMatchObject({ status: "queued" });
  });

  test("what has come to the target branch since somebody looked at the work is taken in", async () => {
    await repo.git("update-ref", "refs/heads/main", start);
    const commit = (await repo.git("rev-parse", "prompt/one")).trim();
    const work = { branch: "prompt/one", prompts: [{ start, commit }] };
    const { sessionId } = await seedWork(database(), repo, work);
    const { app, get, reviews } = reviewApp(database(), sandboxes);
    expect((await get(`/sessions/${sessionId}/diff`)).status).toBe(200);
    await commitStates(repo, [
      { branch: "main", state: BEFORE },
      { branch: "main", state: new Map([...BEFORE, ["b", one("x\n")]]) },
    ]);
    const { body } = await ask(app, "alice", "POST", `/sessions/${sessionId}/sync`);
    expect(body).toMatchObject({ status: "queued" });
    await reviews.close();
  });

  test("git's work is a prompt of its own kind, by the strategy that was asked for", async () => {
    const target = new Map([...BEFORE, ["b", one("x\n")]]);
    const merge = await sync([target]);
    expect(merge).toMatchObject({ success: true, status: "queued", conflicts: [], suggested_prompt: null });
    expect(await promptRow(database(), merge.prompt_id)).toMatchObject({
      kind: "sync",
      data: { strategy: "merge" },
    });
    const rebase = await sync([target], { strategy: "rebase" });
    expect(await promptRow(database(), rebase.prompt_id)).toMatchObject({
      kind: "sync",
      data: { strategy: "rebase" },
    });
    expect(await sync([target], { strategy: "squash" })).toMatchObject({ err: "invalid" });
  });

  test("where git cannot do it nothing is queued, and the reply has the prompt that an agent would need", async () => {
    const reply = await sync([new Map([["a", one("3\n")]])]);
    expect(reply).toMatchObject({ success: false, status: "conflicts", prompt_id: null, conflicts: ["a"] });
    expect(reply.suggested_prompt).toContain("git merge origin/main");
    expect(reply.suggested_prompt).toContain('- "a"');
  });
});
