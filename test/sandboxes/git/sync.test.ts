import { expect, setDefaultTimeout, test } from "bun:test";
import type { CheckoutRequest, SyncStrategy } from "../../../src/sandboxes/sandbox.ts";
import { makeRepository, type TestRepository } from "../../harness/repository.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { describeSandboxes, type SandboxSetup } from "../describe-sandboxes.ts";
import { never } from "../fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

/** A session that has two commits of its own, while its target branch got one. */
async function diverged({ fixture }: SandboxSetup, change: string) {
  const repo = await makeRepository({ files: { "a.txt": "one\n", "b.txt": "one\n" } });
  const request = fixture.request(repo.path);
  const sandbox = await fixture.open(request);
  const commits = [
    "echo mine >a.txt && git commit -qam first --author='Ada <ada@example.com>' --date=2026-01-02T03:04:05Z",
    "echo more >c.txt && git add c.txt && git commit -qm 'second",
    "",
    "With a body.'",
  ];
  await fixture.run(sandbox, commits.join("\n"));
  const { commit } = await sandbox.deliverWork("x", never);
  await fixture.provider.release(sandbox.config);
  await commitOn(repo, "main", change);
  const sync = (strategy: SyncStrategy, to: CheckoutRequest = request) =>
    fixture.provider.sync(to, { strategy, message: "Merge it\n\nSession: 1\n" }, never);
  const log = (format: string, range: string) => repo.git("log", "--topo-order", `--format=${format}`, range);
  return { repo, request, commit, sync, log };
}

/** A commit of what a script leaves in a checkout of the branch. */
async function commitOn(repo: TestRepository, branch: string, script: string): Promise<void> {
  const folder = `${repo.path}-work`;
  await repo.git("worktree", "add", "--quiet", "--force", "--detach", folder, branch);
  const run = Bun.spawn(["sh", "-ec", script], { cwd: folder });
  expect(await run.exited).toBe(0);
  await repo.git("-C", folder, "add", "--all");
  await repo.git("-C", folder, "commit", "--quiet", "-m", "Others");
  const tip = (await repo.git("-C", folder, "rev-parse", "HEAD")).trim();
  await repo.git("update-ref", `refs/heads/${branch}`, tip);
  await repo.git("worktree", "remove", "--force", folder);
}

await describeSandboxes((setup) => {
  test("a merge joins the two, is pushed, and is done once", async () => {
    const { repo, request, commit, sync } = await diverged(setup(), "echo theirs >b.txt");
    const work = await sync("merge");
    expect(work).toMatchObject({ start: commit, push: { pushed: true, to: repo.path } });
    expect(await repo.git("show", "prompt/one:a.txt", "prompt/one:b.txt")).toBe("mine\ntheirs\n");
    expect(
      (
        await repo.git("log", "-1", "--format=%s|%an|%P|%(trailers:key=Session,valueonly)", "prompt/one")
      ).trim(),
    ).toBe(`Merge it|prompt-backend|${commit} ${(await repo.git("rev-parse", "main")).trim()}|1`);
    expect(await sync("merge")).toMatchObject({ commit: work.commit, push: { pushed: true } });
    expect(request.pushes.commit).toBe(work.commit);
    await repo.remove();
  });

  test("a rebase makes the commits again, with their authors and messages, and replaces the branch", async () => {
    const { repo, request, commit, sync, log } = await diverged(setup(), "echo theirs >b.txt");
    const work = await sync("rebase");
    expect(work).toMatchObject({ start: commit, commits: 2, push: { pushed: true } });
    expect(await log("%an|%aI|%cn|%B", "main..prompt/one")).toMatch(
      /^prompt-backend\|.*\|prompt-backend\|second\n\nWith a body\.\n\nAda\|2026-01-02T03:04:05(Z|\+00:00)\|prompt-backend\|first\n\n$/,
    );
    expect(await repo.git("show", "prompt/one:a.txt", "prompt/one:b.txt", "prompt/one:c.txt")).toBe(
      "mine\ntheirs\nmore\n",
    );
    expect((await repo.git("merge-base", "main", "prompt/one")).trim()).toBe(
      (await repo.git("rev-parse", "main")).trim(),
    );
    expect(request.pushes.commit).toBe(work.commit);
    await repo.remove();
  });

  test.each(["merge", "rebase"] as const)(
    "a %s that git cannot do names the files, and changes nothing",
    async (strategy) => {
      const { repo, commit, sync } = await diverged(setup(), "echo theirs >a.txt; echo x >'odd \"name'");
      await expect(sync(strategy)).rejects.toMatchObject({
        ...{ name: "RepositoryError", transient: false },
        message: expect.stringContaining("both sides changed a.txt"),
      });
      expect((await repo.git("rev-parse", "prompt/one")).trim()).toBe(commit);
      await repo.remove();
    },
  );

  test("a rebase leaves out what the target branch has already, and refuses branches with merges", async () => {
    const { repo, sync, log } = await diverged(setup(), "echo mine >a.txt");
    await sync("rebase");
    expect(await log("%s", "main..prompt/one")).toBe("second\n");
    await commitOn(repo, "main", "echo theirs >b.txt");
    await sync("merge");
    await commitOn(repo, "main", "echo again >b.txt");
    await expect(sync("rebase")).rejects.toThrow("has merges, which a rebase would lose");
    await repo.remove();
  });

  test("a rebase never throws away what somebody else has pushed to the branch", async () => {
    const { repo, request, commit, sync, log } = await diverged(setup(), "echo theirs >b.txt");
    // The session has not seen it: what it has left there is what is recorded.
    await commitOn(repo, "prompt/one", "echo hers >d.txt");
    const hers = (await repo.git("rev-parse", "prompt/one")).trim();
    expect(await sync("rebase")).toMatchObject({
      push: {
        pushed: false,
        reason: expect.stringContaining("its branch has commits that this work does not contain"),
      },
    });
    expect((await repo.git("rev-parse", "prompt/one")).trim()).toBe(hers);
    expect(request.pushes.commit).toBe(commit);
    await request.pushes.settle(hers);
    expect(await sync("rebase")).toMatchObject({ push: { pushed: true } });
    expect(await log("%s", "main..prompt/one")).toBe("Others\nsecond\nfirst\n");
    await repo.remove();
  });

  test("a rebase that was pushed when its process died is found to be pushed", async () => {
    const { repo, request, sync, log } = await diverged(setup(), "echo theirs >b.txt");
    const { settle } = request.pushes;
    request.pushes.settle = (commit) =>
      commit === request.pushes.commit ? Promise.resolve() : Promise.reject(new Error("killed"));
    await expect(sync("rebase")).rejects.toThrow("killed");
    const pushed = (await repo.git("rev-parse", "prompt/one")).trim();
    request.pushes.settle = settle;
    expect(await sync("rebase")).toMatchObject({ commit: pushed, push: { pushed: true } });
    expect(request.pushes.commit).toBe(pushed);
    expect(await log("%s", "main..prompt/one")).toBe("second\nfirst\n");
    await repo.remove();
  });
});
