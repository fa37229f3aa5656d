import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { RepositoryError } from "../../../src/sandboxes/sandbox.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { describeSandboxes } from "../describe-sandboxes.ts";
import { never } from "../fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

await describeSandboxes((setup) => {
  test("commits and uncommitted changes reach the branch; the next sandbox continues; without changes nothing is pushed", async () => {
    const { fixture, repo } = setup();
    const request = fixture.request(repo.path, { branch: "prompt/s-happy" });
    const first = await fixture.open(request);
    await fixture.run(first, "echo 1 > a && git add a && git commit -qm mine && echo 2 > b");
    const work = await first.deliverWork("left over", never);
    expect(work).toMatchObject({ commits: 2, push: { pushed: true, to: repo.path } });
    expect(await repo.git("log", "--format=%s|%an", "prompt/s-happy")).toBe(
      "left over|prompt-backend\nmine|prompt-backend\nBegin|Test\n",
    );
    expect(await fixture.provider.release(first.config)).toBe(true);

    const second = await fixture.open(request);
    expect(
      (await fixture.run(second, "cat a b; git branch --show-current; git remote get-url origin")).out,
    ).toBe(`1\n2\nprompt/s-happy\n${repo.path}`);
    expect(await second.deliverWork("nothing", never)).toMatchObject({ commits: 2, head: work.head });

    const untouched = await fixture.open(fixture.request(repo.path, { branch: "prompt/s-untouched" }));
    expect(await untouched.deliverWork("x", never)).toMatchObject({
      commits: 0,
      push: { pushed: false, reason: "nothing changed" },
    });
    expect(await repo.branches()).not.toContain("prompt/s-untouched");
  });

  test("a branch that somebody else makes meanwhile stays as it is; the work is kept, and the next sandbox starts from it", async () => {
    const { fixture, repo } = setup();
    const request = fixture.request(repo.path, { branch: "prompt/s-kept" });
    const first = await fixture.open(request);
    await repo.git("branch", "prompt/s-kept", "main");
    await fixture.run(first, "echo kept > kept");
    const work = await first.deliverWork("kept", never);
    expect(work.push).toMatchObject({
      pushed: false,
      reason: expect.stringContaining("a branch prompt/s-kept that this session did not make"),
    });
    expect(request.pushes.commit).toBeNull();
    expect(await repo.git("rev-parse", "prompt/s-kept")).toBe(await repo.git("rev-parse", "main"));
    await repo.git("branch", "-D", "prompt/s-kept");
    const second = await fixture.open(request);
    expect((await fixture.run(second, "cat kept")).out).toBe("kept");
    expect((await second.deliverWork("x", never)).push).toEqual({ pushed: true, to: repo.path });
  });

  test.each([
    ["a detached HEAD", "git checkout -q --detach && echo x > x && git add x && git commit -qm x", 1],
    ["another branch", "git checkout -qb other && echo x > x && git add x && git commit -qm x", 1],
    [
      "a look at main after the work",
      "echo x > x; git add x; git commit -qm x; git checkout -q origin/main",
      1,
    ],
    ["lock files", "echo x > x; touch .git/index.lock .git/HEAD.lock", 1],
    ["a nested repository without commits", "git init -q n; echo x > x", 1],
    ["an orphan", "git checkout -q --orphan new && echo x > x", 1],
    ["a damaged index", "echo nonsense > .git/index; echo x > x", 1],
    [
      "a merge with conflicts",
      "git checkout -qb o; echo 1 > README.md; git commit -qam 1; git checkout -q -; echo 2 > README.md; git commit -qam 2; git merge o",
      3,
    ],
  ])("%s", async (_, script, commits) => {
    const { fixture, repo } = setup();
    const request = fixture.request(repo.path, { branch: `prompt/s-${crypto.randomUUID()}` });
    const sandbox = await fixture.open(request);
    await fixture.run(sandbox, script);
    const work = await sandbox.deliverWork("left over", never);
    expect(work).toMatchObject({ commits, push: { pushed: true } });
    expect(await repo.git("rev-parse", "--short", request.branch)).toBe(`${work.head}\n`);
  });

  test("stale lock files that a killed git left in the store are removed", async () => {
    const { fixture, repo } = setup();
    const request = fixture.request(repo.path, { branch: "prompt/s-locks" });
    await fixture.open(request);
    const lock = async () => {
      const repos = join(fixture.dataDir, "repos");
      // In the one store that knows the session.
      for (const store of await readdir(repos))
        await writeFile(join(repos, store, `refs/sessions/${request.sessionId}/head.lock`), "").catch(
          () => undefined,
        );
    };
    // Something new, so that its head moves.
    await repo.git("commit", "-q", "--allow-empty", "-m", "more");
    await lock();
    const sandbox = await fixture.open(request);
    await fixture.run(sandbox, "echo x > x");
    await lock();
    expect(await sandbox.deliverWork("x", never)).toMatchObject({ commits: 1, push: { pushed: true } });
  }, 60_000);

  // A push that was killed leaves it in the user's own repository, where nobody would ever remove it.
  test("a stale lock of the session's branch in the source repository is removed, and no other", async () => {
    const { fixture, repo } = setup();
    const request = fixture.request(repo.path, { branch: "prompt/s-killed" });
    const sandbox = await fixture.open(request);
    await fixture.run(sandbox, "echo x > x");
    const heads = join(repo.path, ".git/refs/heads");
    await mkdir(join(heads, "prompt"), { recursive: true });
    const [own, other] = [join(heads, "prompt/s-killed.lock"), join(heads, "main.lock")] as const;
    for (const lock of [own, other]) await writeFile(lock, "");
    expect(await sandbox.deliverWork("x", never)).toMatchObject({ commits: 1, push: { pushed: true } });
    expect([existsSync(own), existsSync(other)]).toEqual([false, true]);
    await rm(other);
  }, 60_000);

  test("a deleted .git is reported", async () => {
    const { fixture, repo } = setup();
    const sandbox = await fixture.open(fixture.request(repo.path));
    await fixture.run(sandbox, "rm -rf .git");
    const collected = sandbox.deliverWork("x", never);
    expect(collected).rejects.toThrow(RepositoryError);
    expect(collected).rejects.toThrow("no usable git repository");
    await collected.catch(() => undefined);
  });
});
