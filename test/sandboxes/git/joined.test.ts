import { expect, setDefaultTimeout, test } from "bun:test";
import { makeRepository } from "../../harness/repository.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { describeSandboxes, type SandboxSetup } from "../describe-sandboxes.ts";
import { never } from "../fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

/** A session whose second prompt is at work while somebody pushes to its branch. */
async function meanwhile({ fixture }: SandboxSetup, work: string, theirs: string) {
  const repo = await makeRepository({ files: { "a.txt": "one\n" } });
  const request = fixture.request(repo.path);
  const first = await fixture.open(request);
  await fixture.run(first, "echo first > first.txt");
  await first.deliverWork("first", never);
  const second = await fixture.open(request);
  await fixture.run(second, work);
  await repo.git("worktree", "add", "--quiet", `${repo.path}-theirs`, "prompt/one");
  const script = `${theirs} && git add --all && git -c user.name=Eve -c user.email=eve@example.com commit --quiet -m Theirs`;
  const run = Bun.spawn(["sh", "-ec", script], { cwd: `${repo.path}-theirs` });
  expect(await run.exited).toBe(0);
  await repo.git("worktree", "remove", "--force", `${repo.path}-theirs`);
  const pushed = (await repo.git("rev-parse", "prompt/one")).trim();
  return { repo, request, second, pushed };
}

await describeSandboxes((setup) => {
  test("what somebody has pushed to the session's branch is merged with the work, and that is said", async () => {
    const { repo, request, second, pushed } = await meanwhile(
      setup(),
      "echo mine > mine.txt",
      "echo x > theirs.txt",
    );
    const work = await second.deliverWork("mine", never);
    expect(work.push).toEqual({ pushed: true, to: repo.path, joined: true });
    expect((await repo.git("rev-parse", "prompt/one")).trim()).toBe(work.commit);
    expect(
      await repo.git("show", "prompt/one:mine.txt", "prompt/one:theirs.txt", "prompt/one:first.txt"),
    ).toBe("mine\nx\nfirst\n");
    expect((await repo.git("log", "-1", "--format=%P", "prompt/one")).trim().split(" ")[1]).toBe(pushed);
    // What it has made itself.
    expect(work.added).toMatchObject({ count: 1 });
    expect(request.pushes.commit).toBe(work.commit);
    const third = await setup().fixture.open(request);
    expect((await setup().fixture.run(third, "cat mine.txt theirs.txt")).out).toBe("mine\nx");
    await repo.remove();
  });

  test("what git cannot merge stays there, the work is kept, and the next prompt begins with what is there", async () => {
    const { repo, request, second, pushed } = await meanwhile(
      setup(),
      "echo mine > a.txt",
      "echo theirs > a.txt",
    );
    const work = await second.deliverWork("mine", never);
    expect(work.push).toMatchObject({ pushed: false, theirs: pushed });
    expect(work.push.pushed ? "" : work.push.reason).toMatch(
      /its branch has commits that this work does not contain\. The work is kept as the commit \w+, and the next prompt begins with what is on the branch\. git cannot merge it by itself: both sides changed a\.txt\.$/,
    );
    expect((await repo.git("rev-parse", "prompt/one")).trim()).toBe(pushed);
    const { fixture } = setup();
    const third = await fixture.open(request);
    expect((await fixture.run(third, "cat a.txt")).out).toBe("theirs");
    const { read } = fixture.provider.repositoryFor(request);
    expect(await read.show({ commit: work.commit, path: "a.txt" }, 100, never)).toMatchObject({ size: 5 });
    expect(await read.contains(request.sessionId, work.commit, never)).toBe(true);
    await repo.remove();
  });
});
