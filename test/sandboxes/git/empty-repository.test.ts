import { expect, setDefaultTimeout, test } from "bun:test";
import { EMPTY_TREE, FIRST_COMMIT } from "../../../src/sandboxes/git/first-commit.ts";
import type { CheckoutRequest } from "../../../src/sandboxes/sandbox.ts";
import { makeRepository, type TestRepository } from "../../harness/repository.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { describeSandboxes, type SandboxSetup } from "../describe-sandboxes.ts";
import { never } from "../fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const tipOf = async (repo: TestRepository, branch: string) => (await repo.git("rev-parse", branch)).trim();

/** Makes a commit from a script in a sandbox of its own, and delivers it. */
async function deliver({ fixture }: SandboxSetup, request: CheckoutRequest, script: string) {
  const sandbox = await fixture.open(request);
  await fixture.run(sandbox, script);
  try {
    return await sandbox.deliverWork("work", never);
  } finally {
    await fixture.provider.release(sandbox.config);
  }
}

/** Somebody else's first commit on a branch. */
async function beginOtherwise(repo: TestRepository, file: string, branch = "main"): Promise<void> {
  await Bun.write(`${repo.path}/${file}`, "theirs\n");
  await repo.git("checkout", "--quiet", "--orphan", branch);
  await repo.git("add", "--all");
  await repo.git("commit", "--quiet", "--message=Theirs");
}

/** What is written down of the pushes, in order. */
function noted(request: CheckoutRequest) {
  const notes: string[] = [];
  const { pushes } = request;
  const name = (commit: string) => (commit === FIRST_COMMIT ? "first" : "work");
  const note = (of: Pick<CheckoutRequest["pushes"], "record" | "settle">): typeof of => ({
    async record(commit, target, replaces) {
      notes.push(`before ${name(commit)} to ${target.split("#")[1]}`);
      await of.record(commit, target, replaces);
    },
    async settle(commit, failure) {
      notes.push(`after ${name(commit)}${failure === undefined ? "" : ": failed"}`);
      await of.settle(commit, failure);
    },
  });
  const own = Object.assign(pushes, { ...note({ ...pushes }), first: note(pushes.first) });
  return { request: { ...request, pushes: own }, notes };
}

await describeSandboxes((setup) => {
  test.each(["a folder that somebody works in", "a bare repository"])(
    "%s without a commit: the work begins with an empty one, which becomes the target branch before the session's branch is made",
    async (kind) => {
      const { fixture } = setup();
      const repo = await makeRepository({ empty: true });
      await Bun.write(`${repo.path}/draft.txt`, "mine\n");
      await repo.git("add", "draft.txt");
      if (kind === "a bare repository") await repo.git("config", "core.bare", "true");
      const { request, notes } = noted(fixture.request(repo.path));
      const sandbox = await fixture.open(request);
      expect(sandbox.notices).toEqual([
        `There is nothing in ${repo.path} yet: main begins with an empty commit.`,
      ]);
      const { out } = await fixture.run(sandbox, "ls; git log --format=%s origin/main; echo new > new.txt");
      expect(out).toBe("Initial commit");
      expect(await sandbox.deliverWork("work", never)).toMatchObject({
        ...{ start: FIRST_COMMIT, commits: 1, added: { count: 1 } },
        push: { pushed: true, to: repo.path, began: true },
      });
      expect(notes).toEqual([
        "before first to main",
        "after first",
        "before work to prompt/one",
        "after work",
      ]);
      expect(await repo.branches()).toEqual(["main", "prompt/one"]);
      expect(await tipOf(repo, "main")).toBe(FIRST_COMMIT);
      expect(await repo.git("log", "--format=%an|%ae|%cI|%s|%T", "main")).toBe(
        `prompt-backend|prompt-backend@localhost|2026-01-01T00:00:00+00:00|Initial commit|${EMPTY_TREE}\n`,
      );
      expect(await repo.git("diff", "--name-status", "main...prompt/one")).toBe("A\tnew.txt\n");
      if (kind !== "a bare repository")
        expect(await repo.git("status", "--porcelain")).toBe("A  draft.txt\n");

      notes.length = 0;
      const more = await fixture.open(request);
      expect(more.notices).toEqual([]);
      await fixture.run(more, "echo more > more.txt");
      expect(await more.deliverWork("more", never)).toMatchObject({ commits: 2, push: { pushed: true } });
      expect(notes.slice(-2)).toEqual(["before work to prompt/one", "after work"]);
      expect(notes).not.toContain("before first to main");
      await repo.remove();
    },
  );

  test("two sessions that begin at once share the first commit, and both are pushed", async () => {
    const { fixture } = setup();
    const repo = await makeRepository({ empty: true });
    const branches = ["prompt/one", "prompt/two"];
    const sandboxes = await Promise.all(
      branches.map((branch) => fixture.open(fixture.request(repo.path, { branch }))),
    );
    await Promise.all(sandboxes.map((one, index) => fixture.run(one, `echo ${index} > ${index}.txt`)));
    const works = await Promise.all(sandboxes.map((one) => one.deliverWork("work", never)));
    for (const work of works) expect(work).toMatchObject({ commits: 1, push: { pushed: true } });
    expect(await repo.branches()).toEqual(["main", ...branches]);
    expect((await repo.git("merge-base", ...branches)).trim()).toBe(FIRST_COMMIT);
    await repo.remove();
  });

  test("one that finds the target branch made at the moment of its own push looks again", async () => {
    const { fixture } = setup();
    const repo = await makeRepository({ empty: true });
    const request = fixture.request(repo.path);
    const before = request.pushes.first;
    let records = 0;
    const other = await makeRepository({ empty: true });
    await deliver(setup(), fixture.request(other.path), "echo 2 > 2");
    const first = {
      ...before,
      async record(commit: string, target: string) {
        records += 1;
        await repo.git("fetch", "--quiet", other.path, "prompt/one:refs/heads/prompt/two");
        await repo.git("update-ref", "refs/heads/main", "prompt/two");
        await before.record(commit, target);
      },
    };
    const work = await deliver(setup(), { ...request, pushes: { ...request.pushes, first } }, "echo 1 > 1");
    expect(work.push).toEqual({ pushed: true, to: repo.path });
    expect(records).toBe(1);
    expect(await repo.branches()).toEqual(["main", "prompt/one", "prompt/two"]);
    await Promise.all([repo.remove(), other.remove()]);
  });

  test.each([
    ["before first", []],
    ["after first", ["main"]],
    ["before work", ["main"]],
    ["after work", ["main", "prompt/one"]],
  ] as const)(
    "a runner that dies %s is followed by one that makes what is missing, once",
    async (step, made) => {
      const { fixture } = setup();
      const repo = await makeRepository({ empty: true });
      const { request, notes } = noted(fixture.request(repo.path));
      const dying: CheckoutRequest["pushes"] = Object.create(request.pushes);
      const die = async <T>(at: string, work: () => Promise<T>): Promise<T> => {
        if (at === "before" ? step === "before work" : step === "after work") throw new Error("killed");
        return work();
      };
      Object.assign(dying, {
        record: (...args: Parameters<typeof dying.record>) =>
          request.pushes.record(...args).then(() => die("before", async () => undefined)),
        settle: (...args: Parameters<typeof dying.settle>) =>
          die("after", () => request.pushes.settle(...args)),
        first: {
          async record(commit: string, target: string) {
            await request.pushes.first.record(commit, target);
            if (step === "before first") throw new Error("killed");
          },
          async settle(commit: string) {
            if (step === "after first") throw new Error("killed");
            await request.pushes.first.settle(commit);
          },
        },
      });
      const sandbox = await fixture.open(request);
      await fixture.run(sandbox, "echo new > new.txt");
      const killed = await fixture.provider.reopen(sandbox.config, { ...request, pushes: dying });
      await expect(killed?.deliverWork("work", never)).rejects.toThrow("killed");
      expect(await repo.branches()).toEqual([...made]);
      const next = await fixture.provider.reopen(sandbox.config, request);
      expect(await next?.deliverWork("work", never)).toMatchObject({ commits: 1, push: { pushed: true } });
      expect(await repo.branches()).toEqual(["main", "prompt/one"]);
      expect(await tipOf(repo, "main")).toBe(FIRST_COMMIT);
      const tries = (what: string) => notes.filter((one) => one === what).length;
      expect(tries("before first to main")).toBe(step === "before first" ? 2 : 1);
      expect(tries("before work to prompt/one")).toBe(step === "before work" ? 2 : 1);
      expect(notes).toContain("after first");
      await repo.remove();
    },
  );

  test("where the target branch has got another first commit, the work is kept and said; a sync joins the two", async () => {
    const { fixture } = setup();
    for (const strategy of ["merge", "rebase"] as const) {
      const repo = await makeRepository({ empty: true });
      const { request, notes } = noted(fixture.request(repo.path));
      const sandbox = await fixture.open(request);
      await fixture.run(sandbox, "echo new > new.txt");
      await beginOtherwise(repo, "README.md");
      const theirs = await tipOf(repo, "main");
      const work = await sandbox.deliverWork("work", never);
      expect(work.push).toMatchObject({
        pushed: false,
        reason: `${repo.path} was empty when this work began, and somebody else has pushed a first commit to main since. POST /sessions/${request.sessionId}/sync joins the two, and pushes the work. The work is kept, and the next prompt continues from it.`,
      });
      expect(notes).toEqual(["after first: failed"]);
      expect(await repo.branches()).toEqual(["main"]);

      // Its next prompt, and a look at the work, on the same machine.
      const again = await fixture.open(request);
      expect((await fixture.run(again, "ls; git log --format=%s origin/main")).out).toBe("new.txt\nTheirs");
      const { read } = fixture.provider.repositoryFor(request);
      expect(await read.commits(request.sessionId, never)).toEqual({ target: theirs, head: work.commit });
      const ends = { target: theirs, head: work.commit };
      expect(await read.parted(request.sessionId, ends, never)).toEqual({ base: EMPTY_TREE, since: theirs });
      expect(await read.conflicts(theirs, work.commit, never)).toEqual([]);

      const joined = await fixture.provider.sync(request, { strategy, message: "Merge it\n" }, never);
      expect(joined).toMatchObject({
        commits: strategy === "merge" ? 3 : 1,
        push: { pushed: true, to: repo.path },
      });
      expect(await tipOf(repo, "main")).toBe(theirs);
      expect((await repo.git("merge-base", "main", "prompt/one")).trim()).toBe(theirs);
      expect(await repo.git("ls-tree", "--name-only", "prompt/one")).toBe("README.md\nnew.txt\n");
      await repo.remove();
    }
  });

  test("a sync of two that both began with the same file names it, and changes nothing", async () => {
    const { fixture } = setup();
    const repo = await makeRepository({ empty: true });
    const request = fixture.request(repo.path);
    const sandbox = await fixture.open(request);
    await fixture.run(sandbox, "echo mine > README.md");
    await beginOtherwise(repo, "README.md");
    await sandbox.deliverWork("work", never);
    for (const strategy of ["merge", "rebase"] as const)
      await expect(fixture.provider.sync(request, { strategy, message: "x" }, never)).rejects.toThrow(
        "both sides changed README.md",
      );
    expect(await repo.branches()).toEqual(["main"]);
    await repo.remove();
  });

  test("a session without work begins with what the repository has got since, also as a fork of nothing", async () => {
    const { fixture } = setup();
    const repo = await makeRepository({ empty: true });
    const request = fixture.request(repo.path);
    expect(await deliver(setup(), request, "true")).toMatchObject({
      ...{ commit: FIRST_COMMIT, commits: 0 },
      push: { pushed: false, reason: "nothing changed" },
    });
    expect(await repo.branches()).toEqual([]);
    await beginOtherwise(repo, "README.md");
    const fork = fixture.request(repo.path, { branch: "prompt/fork", startCommit: FIRST_COMMIT });
    for (const one of [request, fork]) {
      expect(await deliver(setup(), one, "cat README.md > new.txt")).toMatchObject({
        ...{ start: await tipOf(repo, "main"), commits: 1 },
        push: { pushed: true },
      });
    }
    await repo.remove();
  });

  test("a branch of a session is not made where it would be the only one", async () => {
    const { fixture } = setup();
    const repo = await makeRepository();
    const sandbox = await fixture.open(fixture.request(repo.path));
    await fixture.run(sandbox, "echo new > new.txt");
    await repo.git("update-ref", "-d", "refs/heads/main");
    expect(await sandbox.deliverWork("work", never)).toMatchObject({
      push: {
        pushed: false,
        reason: expect.stringContaining("has no branch any more, and a session's must not be its first"),
      },
    });
    expect(await repo.branches()).toEqual([]);
    await repo.remove();
  });

  test("a target branch that is gone is named, with those that are there; the work goes on once it is back", async () => {
    const { fixture } = setup();
    const repo = await makeRepository();
    const main = await tipOf(repo, "main");
    const request = fixture.request(repo.path);
    await deliver(setup(), request, "echo new > new.txt");
    await repo.git("branch", "-m", "main", "trunk");
    await expect(fixture.open(request)).rejects.toMatchObject({
      ...{ name: "RepositoryError", transient: false },
      message: `The repository ${repo.path} has no branch main; it has prompt/one, trunk. What this session has done is kept: it goes on once main is there again.`,
    });
    for (const branch of ["trunk", "prompt/one"]) await repo.git("update-ref", "-d", `refs/heads/${branch}`);
    await expect(fixture.open(request)).rejects.toMatchObject({
      ...{ name: "RepositoryError", transient: false },
      message: `The repository ${repo.path} has lost all its branches.`,
    });
    await repo.git("update-ref", "refs/heads/main", main);
    expect(await deliver(setup(), request, "cat new.txt > again.txt")).toMatchObject({
      ...{ commits: 2, push: { pushed: true } },
    });
    await repo.remove();
  });
});
