import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { CheckoutRequest } from "../../../src/sandboxes/sandbox.ts";
import { makeRepository, type TestRepository } from "../../harness/repository.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { never, openSandboxFixture, pushRecord, type SandboxFixture } from "../fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

let fixture: SandboxFixture;
let repo: TestRepository;
let main: string;
beforeAll(async () => {
  fixture = await openSandboxFixture();
  repo = await makeRepository();
  main = await repo.git("rev-parse", "main");
  await repo.git("branch", "dev");
});
afterAll(async () => {
  await fixture.remove();
  await repo.remove();
});

async function work(request: CheckoutRequest, file = "work") {
  const sandbox = await fixture.open(request);
  await fixture.run(sandbox, `echo ${file} > ${file}`);
  return sandbox.deliverWork("work", never);
}
const notPushed = (reason: string) => ({
  commits: 1,
  push: { pushed: false, reason: expect.stringContaining(reason) },
});

// S6: rows from before the rule, or written by other means, had any branch, and the work was pushed there.
test("main with another target, and every name without the prefix, is not pushed to; the work is kept", async () => {
  for (const branch of ["main", "dev2", "release/1"]) {
    const request = fixture.request(repo.path, { branch, targetBranch: "dev" });
    expect(await work(request)).toMatchObject(notPushed("must begin with prompt/ (BRANCH_PREFIX)"));
    const again = await fixture.open(request);
    expect((await fixture.run(again, "cat work")).out).toBe("work");
  }
  expect(await repo.git("rev-parse", "main")).toBe(main);
  expect(await repo.branches()).toEqual(["dev", "main"]);
});

test("a branch that was there before the session is neither started from nor pushed to, even at a commit of the target", async () => {
  await repo.git("branch", "prompt/theirs", "main");
  await repo.git("checkout", "-q", "-b", "prompt/theirs-too", "main");
  await repo.git("commit", "-q", "--allow-empty", "-m", "theirs");
  await repo.git("checkout", "-q", "main");
  const before = await repo.git("show-ref");
  for (const branch of ["prompt/theirs", "prompt/theirs-too"])
    expect(await work(fixture.request(repo.path, { branch }))).toMatchObject(
      notPushed(`has a branch ${branch} that this session did not make`),
    );
  expect(await repo.git("show-ref")).toBe(before);
});

test("a branch that somebody makes at the moment of the push stays as it is, and is not the session's", async () => {
  const { pushes, ...request } = fixture.request(repo.path, { branch: "prompt/race" });
  const sandbox = await fixture.open({ ...request, pushes });
  await fixture.run(sandbox, "echo race > race");
  const racing = {
    ...pushes,
    async record(commit: string, target: string) {
      await repo.git("branch", "prompt/race", "main");
      await pushes.record(commit, target);
    },
  };
  const again = await fixture.provider.reopen(sandbox.config, { ...request, pushes: racing });
  expect(await again?.deliverWork("race", never)).toMatchObject(
    notPushed("has a branch prompt/race that this session did not make"),
  );
  expect(await repo.git("rev-parse", "prompt/race")).toBe(main);
  expect(pushes.commit).toBeNull();
});

// A host that tells no upper case from lower case would update it.
test("the default branch is not pushed to, whatever its name, and whether it has a commit or not", async () => {
  for (const [name, born] of [
    ["prompt/x", true],
    ["prompt/x", false],
    ["prompt/X", false],
  ] as const) {
    const own = await makeRepository();
    try {
      if (born) await own.git("branch", name);
      await own.git("symbolic-ref", "HEAD", `refs/heads/${name}`);
      expect(await work(fixture.request(own.path, { branch: "prompt/x" }))).toMatchObject(
        notPushed("is the default branch"),
      );
      expect(await own.branches()).toEqual(born ? ["main", "prompt/x"] : ["main"]);
    } finally {
      await own.remove();
    }
  }
});

test("commits that somebody added to the session's branch are built on; rewritten ones stay as they are", async () => {
  const request = fixture.request(repo.path, { branch: "prompt/shared" });
  expect(await work(request, "one")).toMatchObject({ push: { pushed: true } });
  expect(request.pushes.commit).toBe((await repo.git("rev-parse", "prompt/shared")).trim());
  await repo.git("checkout", "-q", "prompt/shared");
  await repo.git("commit", "-q", "--allow-empty", "-m", "a reviewer's");
  expect(await work(request, "two")).toMatchObject({ commits: 3, push: { pushed: false } });
  await repo.git("checkout", "-q", "main");
  expect(await work(request, "three")).toMatchObject({ commits: 4, push: { pushed: true } });

  const open = await fixture.open(request);
  await repo.git("branch", "-f", "prompt/shared", "dev");
  await fixture.run(open, "echo four > four");
  expect(await open.deliverWork("four", never)).toMatchObject({ push: { pushed: false } });
  expect(await repo.git("rev-parse", "prompt/shared")).toBe(main);
});

test("a session of which only the short id of its last push is known goes on; one that has pushed nothing does not", async () => {
  const request = fixture.request(repo.path, { branch: "prompt/upgraded" });
  expect(await work(request, "one")).toMatchObject({ push: { pushed: true } });
  const own = await repo.git("rev-parse", "--short", "prompt/upgraded");
  const unknown = { ...request, pushes: pushRecord() };
  expect(await work(unknown, "two")).toMatchObject({
    push: { pushed: false, reason: expect.stringContaining("that this session did not make") },
  });
  const pushes = pushRecord(own.trim());
  expect(await work({ ...request, pushes }, "three")).toMatchObject({ push: { pushed: true } });
  expect(pushes.commit).toBe((await repo.git("rev-parse", "prompt/upgraded")).trim());
});

test("after a crash between the record and the push, the repository tells whether the push was made", async () => {
  const request = fixture.request(repo.path, { branch: "prompt/crash" });
  const sandbox = await fixture.open(request);
  await fixture.run(sandbox, "echo crash > crash");
  const crashing = { ...request, pushes: pushRecord() };
  const first = await fixture.provider.reopen(sandbox.config, {
    ...crashing,
    pushes: {
      ...crashing.pushes,
      async record(commit, target) {
        await crashing.pushes.record(commit, target);
        throw new Error("crash");
      },
    },
  });
  await expect(first?.deliverWork("crash", never)).rejects.toThrow("crash");
  expect(crashing.pushes.commit).not.toBeNull();
  expect(await repo.branches()).not.toContain("prompt/crash");
  // Twice: the push was not made, then it was made and its answer lost.
  for (const _ of [1, 2]) {
    const next = await fixture.provider.reopen(sandbox.config, crashing);
    expect(await next?.deliverWork("crash", never)).toMatchObject({ commits: 1, push: { pushed: true } });
  }
  expect(crashing.pushes.commit).toBe((await repo.git("rev-parse", "prompt/crash")).trim());
});
