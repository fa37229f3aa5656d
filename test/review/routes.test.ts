import { afterAll, beforeAll, expect, test } from "bun:test";
import { describeEachDatabase } from "../harness/databases.ts";
import { makeRepository, type TestRepository } from "../harness/repository.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { openSandboxFixture, type SandboxFixture } from "../sandboxes/fixture.ts";
import { bigRepository, grow, LIMITS, swell } from "../sandboxes/git/big-repository.ts";
import { commitStates, type State } from "../sandboxes/git/histories.ts";
import { reviewApp, seedWork } from "./fixture.ts";

const file = (text: string) => ({ mode: "100644", content: Buffer.from(text) });
const SVG = "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>";
const BEFORE: State = new Map([
  ["README.md", file("one\ntwo\nthree\n")],
  ["src/old name.ts", file("a\nb\nc\nd\ne\n")],
  ["latin-\xe9.txt", file("x\n")],
]);
const FIRST: State = new Map([
  ["README.md", file("one\nTWO\nthree\n")],
  ["src/new name.ts", file("a\nb\nc\nd\ne\nf\n")],
  ["latin-\xe9.txt", file("y\n")],
  ["picture.svg", file(SVG)],
]);
const SECOND: State = new Map([...FIRST, ["second.txt", file("only the second\n")]]);

describeEachDatabase("the work of a session", (database) => {
  let sandboxes: SandboxFixture;
  let repo: TestRepository;
  let commits: string[];
  let session: Awaited<ReturnType<typeof seedWork>>;
  let get: ReturnType<typeof reviewApp>["get"];

  beforeAll(async () => {
    [sandboxes, repo] = await Promise.all([openSandboxFixture(), makeRepository()]);
    await commitStates(repo, [
      { branch: "main", state: BEFORE },
      { branch: "prompt/one", state: FIRST },
      { branch: "prompt/one", state: SECOND },
    ]);
    commits = (await repo.git("rev-list", "--reverse", "prompt/one")).trim().split("\n");
    const [start = "", first = "", second = ""] = commits;
    const prompts = [
      { start, commit: first },
      { start: first, commit: second },
    ];
    session = await seedWork(database(), repo, { branch: "prompt/one", prompts });
    ({ get } = reviewApp(database(), sandboxes));
  }, SLOW_TEST_TIMEOUT_MS);
  afterAll(async () => {
    await sandboxes.remove();
    await repo.remove();
  });
  const at = (path: string) => `/sessions/${session.sessionId}${path}`;
  // biome-ignore lint/suspicious/noExplicitAny: replies of every shape are read here.
  const json = async (path: string, user = "alice"): Promise<any> => (await get(at(path), { user })).json();

  test("its diff is from where it has parted from its target branch, with renamed files and odd names", async () => {
    const diff = await json("/diff");
    expect(diff).toMatchObject({
      ...{ base: commits[0], head: commits[2], target_head: commits[0], mergeable: true, conflicts: [] },
      ...{ additions: 5, deletions: 2, truncated: false },
    });
    // biome-ignore lint/suspicious/noExplicitAny: a reply.
    expect(diff.files.map((one: any) => [one.status, one.old_path, one.path])).toEqual([
      ["modified", null, "README.md"],
      ["modified", null, '"latin-\\351.txt"'],
      ["added", null, "picture.svg"],
      ["added", null, "second.txt"],
      ["renamed", "src/old name.ts", "src/new name.ts"],
    ]);
    expect(diff.files[0].hunks).toEqual([
      {
        ...{ old_start: 1, old_lines: 3, new_start: 1, new_lines: 3, heading: "" },
        lines: [" one", "-two", "+TWO", " three"],
      },
    ]);
  });

  test("that of a prompt is what it has done alone; that of one file has it alone, also under both of its names; a summary has no files", async () => {
    const second = await json(`/diff?prompt_id=${session.promptIds[1]}`);
    expect(second).toMatchObject({ base: commits[1], head: commits[2], additions: 1 });
    expect(second.files).toMatchObject([{ path: "second.txt", status: "added" }]);
    const renamed = await json("/diff?path=src/new%20name.ts&context=0");
    expect(renamed.files).toMatchObject([
      { status: "renamed", old_path: "src/old name.ts", hunks: [{ lines: ["+f"], old_lines: 0 }] },
    ]);
    expect((await json(`/diff?path=${encodeURIComponent('"latin-\\351.txt"')}`)).files).toMatchObject([
      { additions: 1, deletions: 1 },
    ]);
    const summary = await json("/diff?detail=summary");
    const { files, ...counts } = await json("/diff");
    expect(files.length).toBeGreaterThan(1);
    expect(summary).toEqual({ ...counts, files: [] });
    expect(await json("/diff?detail=brief")).toMatchObject({ msg: "detail: must be full or summary" });
    expect(await json("/diff?path=nowhere")).toMatchObject({ code: "file_not_found" });
    expect(await json(`/diff?prompt_id=${crypto.randomUUID()}`)).toMatchObject({ code: "prompt_not_found" });
  });

  test("a patch is what git apply takes, and an ETag answers 304 until there is other work", async () => {
    const reply = await get(at("/diff"), { headers: { accept: "text/x-diff" } });
    expect(reply.headers.get("content-type")).toStartWith("text/x-diff");
    expect(await reply.text()).toStartWith("diff --git a/README.md b/README.md\n");
    const etag = (await get(at("/diff"))).headers.get("etag") ?? "";
    expect(etag).not.toBe(reply.headers.get("etag") ?? "");
    expect((await get(at("/diff"), { headers: { "if-none-match": etag } })).status).toBe(304);
    const other = await get(at(`/diff?prompt_id=${session.promptIds[0]}`), {
      headers: { "if-none-match": etag },
    });
    expect(other.status).toBe(200);
  });

  test("its commits name the prompts whose work they are, and come by pages", async () => {
    const { commits: all } = await json("/commits");
    // biome-ignore lint/suspicious/noExplicitAny: a reply.
    expect(all.map((one: any) => [one.id, one.prompt_id])).toEqual([
      [commits[2], session.promptIds[1]],
      [commits[1], session.promptIds[0]],
    ]);
    expect(all[0]).toMatchObject({ subject: "State", author: { name: "Test" }, parents: [commits[1]] });
    const page = await json("/commits?limit=1");
    expect(page.commits).toHaveLength(1);
    expect(await json(`/commits?limit=1&cursor=${page.next_cursor}`)).toMatchObject({
      ...{ commits: [{ id: commits[1] }], next_cursor: null },
    });
  });

  test("its files: folders as lists, texts whole or by lines, pictures so that no browser runs them", async () => {
    expect(await json("/files?path=src")).toMatchObject({
      commit: commits[2],
      entries: [{ name: "new name.ts", path: "src/new name.ts", type: "file", size: 12 }],
    });
    expect((await json("/files?ref=target")).entries).toHaveLength(3);
    expect(await (await get(at("/files?path=README.md&lines=2-3"))).text()).toBe("TWO\nthree\n");
    expect(await (await get(at(`/files?path=README.md&ref=${commits[0]}`))).text()).toBe("one\ntwo\nthree\n");
    const picture = await get(at("/files?path=picture.svg"));
    expect(picture.headers.get("content-type")).toBe("image/svg+xml");
    expect(picture.headers.get("content-security-policy")).toContain("sandbox");
    expect(await picture.text()).toBe(SVG);
    expect(await json("/files?path=src/nothing")).toMatchObject({ code: "file_not_found" });
    expect(await json("/files?path=../../etc/passwd")).toMatchObject({ code: "file_not_found" });
    expect(await json("/files?path=README.md&lines=3-2")).toMatchObject({ code: "invalid" });
  });

  test("nobody reads what other people's sessions have in the same store, by its commit or by the session", async () => {
    await repo.git("branch", "prompt/secret", "main");
    await commitStates(repo, [
      { branch: "prompt/secret", state: new Map([["secret.txt", file("secret\n")]]) },
    ]);
    const secret = (await repo.git("rev-parse", "prompt/secret")).trim();
    const bobs = await seedWork(database(), repo, {
      ...{ branch: "prompt/secret", user: "bob" },
      prompts: [{ start: null, commit: secret }],
    });
    const own = await get(`/sessions/${bobs.sessionId}/files?path=secret.txt`, { user: "bob" });
    expect(await own.text()).toBe("secret\n");
    expect(await json(`/files?path=secret.txt&ref=${secret}`)).toMatchObject({ code: "commit_not_found" });
    const paths = ["/diff", "/commits", "/files"].map((path) => `/sessions/${bobs.sessionId}${path}`);
    for (const path of paths) expect((await get(path)).status).toBe(404);
  });

  test("what cannot be merged is named, and a branch that was merged still shows its work", async () => {
    await repo.git("branch", "-f", "prompt/both", "prompt/one");
    const prompts = [{ start: commits[0] ?? null, commit: commits[2] ?? "" }];
    const both = await seedWork(database(), repo, { branch: "prompt/both", user: "carol", prompts });
    await commitStates(repo, [
      { branch: "main", state: BEFORE },
      { branch: "main", state: new Map([...BEFORE, ["README.md", file("one\n2\nthree\n")]]) },
    ]);
    const path = `/sessions/${both.sessionId}/diff`;
    expect(await (await get(path, { user: "carol" })).json()).toMatchObject({
      ...{ mergeable: false, conflicts: ["README.md"] },
    });
    await repo.git("update-ref", "refs/heads/main", "prompt/both");
    const merged = await seedWork(database(), repo, { branch: "prompt/both", user: "dave", prompts });
    const diff = await (await get(`/sessions/${merged.sessionId}/diff`, { user: "dave" })).json();
    expect(diff).toMatchObject({ base: commits[0], additions: 5, mergeable: true });
    // biome-ignore lint/suspicious/noExplicitAny: a reply.
    const list: any = await (await get(`/sessions/${merged.sessionId}/commits`, { user: "dave" })).json();
    expect(list.commits).toHaveLength(2);
  });

  test("a branch that was merged beside others' work, and deleted, shows its own; one without work shows none", async () => {
    const own: State = new Map([...BEFORE, ["own.txt", file("own\n")]]);
    const theirs: State = new Map([...BEFORE, ["theirs.txt", file("theirs\n")]]);
    await repo.git("update-ref", "refs/heads/main", commits[0] ?? "");
    const later: State = new Map([...theirs, ["later.txt", file("later\n")]]);
    await commitStates(repo, [
      { branch: "prompt/own", state: BEFORE },
      { branch: "prompt/own", state: own },
    ]);
    await commitStates(repo, [
      { branch: "theirs", state: BEFORE },
      { branch: "theirs", state: theirs },
      { branch: "theirs", state: later },
    ]);
    const merge = async (into: string, one: string, other: string) => {
      const tree = (await repo.git("merge-tree", "--write-tree", one, other)).trim();
      const commit = await repo.git("commit-tree", tree, "-p", one, "-p", other, "-m", "Merge");
      await repo.git("update-ref", `refs/heads/${into}`, commit.trim());
    };
    const start = (await repo.git("rev-parse", "prompt/own~1")).trim();
    const synced = (await repo.git("rev-parse", "theirs~1")).trim();
    // It has taken in a part of what others did meanwhile.
    await merge("prompt/own", "prompt/own", synced);
    const commit = (await repo.git("rev-parse", "prompt/own")).trim();
    const session = { branch: "prompt/own", user: "erin", prompts: [{ start, commit }] };
    const { sessionId } = await seedWork(database(), repo, session);
    await merge("main", "theirs", "prompt/own");
    await repo.git("branch", "-D", "prompt/own");
    const diff = await (await get(`/sessions/${sessionId}/diff`, { user: "erin" })).json();
    expect(diff).toMatchObject({ base: synced, head: commit, additions: 1, files: [{ path: "own.txt" }] });

    // It began before the target branch moved on, and has changed nothing.
    await repo.git("branch", "prompt/idle", start);
    const idle = { branch: "prompt/idle", user: "frank", prompts: [{ start, commit: start }] };
    const { sessionId: other } = await seedWork(database(), repo, idle);
    const none = await (await get(`/sessions/${other}/diff`, { user: "frank" })).json();
    expect(none).toMatchObject({ additions: 0, files: [] });
  });

  test("where the history that lies between it and its target branch is too large, it shows its own work", async () => {
    const big = await bigRepository(20);
    const machine = await openSandboxFixture({ env: LIMITS });
    try {
      const start = (await big.git("rev-parse", "main")).trim();
      await big.git("branch", "prompt/big", "main");
      await grow(big, 2, "prompt/big");
      await swell(big);
      await grow(big, 60);
      const commit = (await big.git("rev-parse", "prompt/big")).trim();
      const prompts = [{ start, commit }];
      const { sessionId } = await seedWork(database(), big, { branch: "prompt/big", user: "grace", prompts });
      // biome-ignore lint/suspicious/noExplicitAny: replies of both shapes are read here.
      const read = async (path: string): Promise<any> =>
        (await reviewApp(database(), machine).get(`/sessions/${sessionId}${path}`, { user: "grace" })).json();
      expect(await read("/diff")).toMatchObject({
        ...{ base: start, head: commit, mergeable: null, conflicts: [] },
        files: [{ path: "grown-on-prompt-big" }],
      });
      expect((await read("/commits")).commits).toHaveLength(2);
    } finally {
      await Promise.all([machine.remove(), big.remove()]);
    }
  });
});
