import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync } from "node:fs";
import { mkdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CheckoutRequest } from "../../../src/sandboxes/sandbox.ts";
import type { TestRepository } from "../../harness/repository.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { never, openSandboxFixture, type SandboxFixture, whyNotIsolated } from "../fixture.ts";
import { bigRepository, grow, LIMITS, swell } from "./big-repository.ts";
import { startGitServer } from "./git-server.ts";

setDefaultTimeout(3 * TEST_TIMEOUT_MS);

const TOKEN = "ghp_secret0123456789";
const SYNC = { message: "Merge it\n\nSession: 1\n" };
const isolates = (await whyNotIsolated()) === undefined;

// The history has a file of 5 MB, the limit is 2 MB, and the checkout has a few bytes.
describe.each([
  ["over HTTP", true],
  ["by path", false],
])("a repository whose history is too large, %s", (_, http) => {
  const root = mkdtempSync(join(tmpdir(), "pb-big-"));
  const server = startGitServer({ root, password: TOKEN });
  const open = () =>
    openSandboxFixture({
      isolated: isolates,
      env: {
        ...LIMITS,
        ...(http && { GITHUB_URL: server.url, GITHUB_TOKEN: TOKEN, PRIVATE_GIT_HOSTS: "127.0.0.1" }),
      },
    });
  let here: SandboxFixture;
  let there: SandboxFixture;
  const repos: TestRepository[] = [];
  beforeAll(async () => {
    [here, there] = await Promise.all([open(), open()]);
    await mkdir(join(root, "octo"));
  });
  afterAll(async () => {
    server.stop();
    await Promise.all([here.remove(), there.remove(), ...repos.map((one) => one.remove())]);
    await rm(root, { recursive: true, force: true });
  });

  /** A new session on such a repository. @param commits since its history is small. */
  const begin = async (commits: number) => {
    const repo = await bigRepository(commits);
    repos.push(repo);
    const name = `big-${repos.length}`;
    if (http) await symlink(join(repo.path, ".git"), join(root, "octo", `${name}.git`));
    const tip = async (branch = "main") => (await repo.git("rev-parse", branch)).trim();
    const request = here.request(http ? `octo/${name}` : repo.path, {
      branch: "prompt/big",
      began: await tip(),
    });
    return { repo, request, tip };
  };
  /** A run. @param meanwhile what others do. */
  const run = async (
    machine: SandboxFixture,
    request: CheckoutRequest,
    script: string,
    meanwhile: () => Promise<void> = async () => undefined,
  ) => {
    const sandbox = await machine.open(request);
    const { out, code, stderr } = await machine.run(sandbox, script);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    await meanwhile();
    const work = await sandbox.deliverWork("Work", never);
    await machine.provider.release(sandbox.config);
    return { out, work, notices: sandbox.notices };
  };
  /** What a review reads. */
  const review = async (machine: SandboxFixture, request: CheckoutRequest) => {
    const { fetch, read } = machine.provider.repositoryFor(request);
    const { start: head, base: target } = await fetch(request, never);
    const { base, since } = await read.parted(request.sessionId, { target, head }, never);
    const log = await read.log(since, head, 1_000, never);
    const limits = { files: 1_000, fileBytes: 1_000_000, allBytes: 1_000_000 };
    const diff = await read.diff({ from: base, to: head, context: 3 }, limits, never);
    return {
      ...{
        base,
        since,
        commits: log.map(({ subject }) => subject),
        files: diff.files.map(({ path }) => path),
      },
      conflicts: await read.conflicts(target, head, never),
      shown: await read.show({ commit: head, path: "README.md" }, 1_000, never),
    };
  };

  test.each([
    ["the newest 50 commits, where they fit", 60, 50],
    ["one commit, where 50 do not fit", 20, 1],
  ])(
    "is checked out with %s; git works there, the work is pushed, and the next prompt goes on",
    async (_, commits, depth) => {
      const { repo, request, tip } = await begin(commits);
      const first = await run(
        here,
        { ...request, began: null },
        "git log --format=%s | wc -l; git status --short; echo 1 >a; git add a; git commit -qm Own; git fsck",
        () => grow(repo, 3),
      );
      expect(first.out.split("\n")[0]).toBe(`${depth}`);
      expect(first.notices).toEqual([
        expect.stringContaining("is too large to be fetched whole (REPO_MAX_MB)"),
      ]);
      expect(first.work).toMatchObject({ commits: 1, added: { count: 1 }, push: { pushed: true } });
      const second = await run(here, request, "cat a; echo 2 >b");
      expect(second).toMatchObject({ out: "1", notices: [] });
      expect(second.work).toMatchObject({ commits: 2, added: { count: 1 }, push: { pushed: true } });
      expect(await repo.git("log", "--format=%s", "main..prompt/big")).toBe("Work\nOwn\n");
      const seen = { base: await tip("main~3"), commits: ["Work", "Own"], files: ["a", "b"], conflicts: [] };
      expect(await review(here, request)).toMatchObject({ ...seen, shown: { type: "file", size: 7 } });
      // A machine that has never seen it.
      expect(await review(there, request)).toMatchObject(seen);
      expect((await run(there, request, "cat a b; echo 3 >c")).out).toBe("1\n2");
      for (const { dataDir } of [here, there])
        expect(await Bun.$`find ${join(dataDir, "repos")} -name "*tmp*" -o -name "shallow.*"`.text()).toBe(
          "",
        );
    },
  );

  test.each(["merge", "rebase"] as const)(
    "a %s takes in a target branch that has moved on by more commits than were fetched",
    async (strategy) => {
      const { repo, request } = await begin(60);
      await run(here, request, "echo 1 >a");
      await grow(repo, 120);
      // Where the two have parted is further back than what this machine begins with.
      expect(await there.provider.sync(request, { strategy, ...SYNC }, never)).toMatchObject({
        commits: strategy === "merge" ? 2 : 1,
        push: { pushed: true },
      });
      expect(await repo.git("diff", "--name-only", "main", "prompt/big")).toBe("a\n");
      expect(await repo.git("log", "--format=%s", "main..prompt/big")).toBe(
        strategy === "merge" ? "Merge it\nWork\n" : "Work\n",
      );
      await grow(repo, 5);
      for (const machine of [here, there]) {
        await machine.provider.sync(request, { strategy, ...SYNC }, never);
        expect((await review(machine, request)).files).toEqual(["a"]);
      }
    },
  );

  test("where too much is between the two, the work alone is shown, and a sync says why it cannot be done", async () => {
    const { repo, request } = await begin(20);
    await run(here, request, "echo 1 >a; git add a; git commit -qm Own; echo 2 >b");
    await swell(repo);
    await grow(repo, 60);
    const { began } = request;
    for (const machine of [there, here]) {
      expect(await review(machine, request)).toMatchObject({
        ...{
          base: began ?? "",
          since: began ?? "",
          commits: ["Work", "Own"],
          files: ["a", "b"],
          conflicts: null,
        },
      });
      for (const strategy of ["merge", "rebase"] as const)
        await expect(machine.provider.sync(request, { strategy, ...SYNC }, never)).rejects.toThrow(
          "(REPO_MAX_MB); take the target branch in",
        );
    }
    expect((await run(there, request, "cat a; echo 3 >c")).work).toMatchObject({
      commits: 3,
      added: { count: 1 },
      push: { pushed: true },
    });
  });

  test("what could not be pushed is restored on another machine, however far the target branch has moved on", async () => {
    const { repo, request } = await begin(60);
    await repo.git("branch", "prompt/big", "main");
    const { work } = await run(here, request, "echo kept >kept");
    expect(work.push).toMatchObject({ pushed: false });
    await grow(repo, 120);
    expect((await run(there, request, "cat kept; git log --format=%s | head -n 2")).out).toBe(
      "kept\nWork\nGrow",
    );
    expect(await review(there, request)).toMatchObject({ commits: ["Work"], files: ["kept"] });
  });

  test("a fork begins with a commit that is further back than what was fetched", async () => {
    const { repo, request } = await begin(60);
    const [startCommit = ""] = (await repo.git("rev-list", "--skip=55", "--max-count=1", "main"))
      .trim()
      .split("\n");
    // This machine has the newest commits already.
    await review(here, request);
    const fork = here.request(request.repo, { branch: "prompt/fork", startCommit });
    const { out, work } = await run(here, fork, "git rev-parse HEAD; echo 1 >a");
    expect(out).toBe(startCommit);
    expect(work).toMatchObject({ commits: 1, push: { pushed: true } });
    expect(await review(here, fork)).toMatchObject({ base: startCommit, files: ["a"] });
    expect(await review(there, fork)).toMatchObject({ base: startCommit, files: ["a"] });
  });

  test("what other sessions have of the same repository stays whole when it becomes too large", async () => {
    const { repo, request, tip } = await begin(60);
    // As it was before.
    await repo.git("checkout", "-q", "--orphan", "small");
    await repo.git("commit", "-qm", "Begin");
    await grow(repo, 100, "small");
    const session = (branch: string) => here.request(request.repo, { targetBranch: "small", branch });
    const early = session("prompt/early");
    const [began = ""] = (await repo.git("rev-list", "--skip=90", "--max-count=1", "small"))
      .trim()
      .split("\n");
    await run(here, { ...early, startCommit: began }, "echo 1 >a");
    // A side branch brings what is too large; what is new of it within 50 commits is not.
    await repo.git("branch", "side", "small");
    await swell(repo, "side");
    await grow(repo, 60, "side");
    await repo.git("reset", "-q", "--hard", "small");
    await repo.git("merge", "-q", "--no-ff", "-m", "Side", "side");
    const { fetch, read } = here.provider.repositoryFor(request);
    const late = session("prompt/late");
    expect(await fetch(late, never)).toMatchObject({ base: await tip("small"), cut: true });
    const work = await tip("prompt/early");
    const ends = { target: await tip("small"), head: work };
    expect(await read.parted(early.sessionId, ends, never)).toMatchObject({
      base: began,
      since: ends.target,
    });
    expect(await read.log(began, await tip("side~62"), 1_000, never)).toHaveLength(90);
  });
});
