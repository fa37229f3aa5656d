import { describe, expect, test } from "bun:test";
import { addPull, commitOf } from "../../harness/github/state.ts";
import { faultOf, NEW, REPOSITORY, startGithub, WORK, within } from "./fixture.ts";

describe("a pull request on GitHub", () => {
  test("is created, and found by its branches", async () => {
    const { github, forgeWith } = await startGithub();
    const forge = forgeWith(github.addToken());
    expect(await forge.findPullRequest(REPOSITORY, NEW, within())).toBeUndefined();
    const created = await forge.createPullRequest(REPOSITORY, NEW, within());
    expect(created).toMatchObject({
      number: 1,
      url: `${github.url}/acme/shop/pull/1`,
      title: NEW.title,
      state: "open",
      draft: false,
      head: WORK,
      base: "main",
      checks: null,
      reviews: null,
    });
    const found = await forge.findPullRequest(REPOSITORY, NEW, within());
    expect(found).toMatchObject({ number: 1, state: "open", head: WORK });
    expect(
      await forge.findPullRequest(REPOSITORY, { head: "other", base: "main" }, within()),
    ).toBeUndefined();
  });

  test("is created as a draft", async () => {
    const { github, forgeWith } = await startGithub();
    const created = await forgeWith(github.addToken()).createPullRequest(
      REPOSITORY,
      { ...NEW, draft: true },
      within(),
    );
    expect(created.draft).toBe(true);
  });

  test("is not created as an ordinary one where drafts are not supported", async () => {
    const { github, repository, forgeWith } = await startGithub({ repository: { drafts: false } });
    const fault = await faultOf(
      forgeWith(github.addToken()).createPullRequest(REPOSITORY, { ...NEW, draft: true }, within()),
    );
    expect(fault.fault).toBe("invalid");
    expect(fault.message).toContain("Draft pull requests are not supported in this repository");
    expect(fault.message).toEndWith("Ask for one that is not a draft.");
    expect(repository.pulls).toEqual([]);
  });

  test("that exists already is told apart", async () => {
    const { github, repository, forgeWith } = await startGithub();
    addPull(repository, NEW);
    const again = await faultOf(forgeWith(github.addToken()).createPullRequest(REPOSITORY, NEW, within()));
    expect(again.fault).toBe("exists");
    expect(repository.pulls).toHaveLength(1);
  });

  test.each([
    ["has no commits", { head: "same" }, "No commits between main and same"],
    ["has no such base", { base: "gone" }, "PullRequest base invalid"],
    ["has no such head", { head: "gone" }, "PullRequest head invalid"],
  ])("that %s is refused with GitHub's words", async (_name, branches, words) => {
    const { github, repository, forgeWith } = await startGithub();
    repository.branches.set("same", repository.branches.get("main") ?? "");
    const fault = await faultOf(
      forgeWith(github.addToken()).createPullRequest(REPOSITORY, { ...NEW, ...branches }, within()),
    );
    expect(fault.fault).toBe("invalid");
    expect(fault.message).toContain(words);
  });

  test("is the open one, else the newest, and never one of a fork", async () => {
    const { github, repository, forgeWith } = await startGithub();
    const forge = forgeWith(github.addToken());
    const first = addPull(repository, NEW);
    addPull(repository, { ...NEW, state: "closed" });
    addPull(repository, { ...NEW, state: "closed" });
    expect((await forge.findPullRequest(REPOSITORY, NEW, within()))?.number).toBe(1);
    first.state = "closed";
    expect((await forge.findPullRequest(REPOSITORY, NEW, within()))?.number).toBe(3);
    github.once(/^GET .*\/pulls$/, async (_request, proceed) => {
      const reply = await proceed();
      const fork = (one: { head: { repo: object } }) => ({
        ...one,
        head: { ...one.head, repo: { ...one.head.repo, id: 99 } },
      });
      return { ...reply, body: (reply.body as { head: { repo: object } }[]).map(fork) };
    });
    first.state = "open";
    expect((await forge.findPullRequest(REPOSITORY, NEW, within()))?.number).toBe(3);
  });

  test("has the state of GitHub's: open, draft, closed, merged", async () => {
    const { github, repository, forgeWith } = await startGithub();
    const forge = forgeWith(github.addToken());
    const pull = addPull(repository, NEW);
    const read = async () => {
      const { state, draft, mergeable } = await forge.readPullRequest(REPOSITORY, 1, within());
      return { state, draft, mergeable };
    };
    expect(await read()).toEqual({ state: "open", draft: false, mergeable: true });
    Object.assign(pull, { draft: true, mergeable: null });
    expect(await read()).toEqual({ state: "open", draft: true, mergeable: null });
    Object.assign(pull, { draft: false, state: "closed" });
    expect((await read()).state).toBe("closed");
    pull.mergedAt = "2026-11-28T12:00:00Z";
    expect((await read()).state).toBe("merged");
    const missing = await faultOf(forge.readPullRequest(REPOSITORY, 9, within()));
    expect(missing.fault).toBe("missing");
  });

  test("is merged by the wanted method", async () => {
    const { github, repository, forgeWith } = await startGithub();
    addPull(repository, NEW);
    const merged = { head: WORK, method: "squash" } as const;
    const { commit } = await forgeWith(github.addToken()).mergePullRequest(REPOSITORY, 1, merged, within());
    expect(commit).toBe(repository.branches.get("main") ?? "");
    expect(github.requests.at(-1)?.body).toEqual({ sha: WORK, merge_method: "squash" });
  });

  test.each([
    ["whose head has moved", {}, { head: commitOf("older") }, "Head branch was modified"],
    ["by a method that is off", {}, { method: "merge" }, "Merge merges are not allowed on this repository"],
    ["that has conflicts", { mergeable: false }, {}, "Pull Request is not mergeable"],
    ["that is closed", { state: "closed" }, {}, "Pull Request is not mergeable"],
  ] as const)("%s is not merged", async (_name, pull, wanted, words) => {
    const { github, repository, forgeWith } = await startGithub({ repository: { mergeMethods: ["squash"] } });
    addPull(repository, { ...NEW, ...pull });
    const work = forgeWith(github.addToken()).mergePullRequest(
      REPOSITORY,
      1,
      { head: WORK, method: "squash", ...wanted },
      within(),
    );
    const fault = await faultOf(work);
    expect(fault.fault).toBe("conflict");
    expect(fault.message).toContain(words);
    expect(repository.pulls[0]?.mergedAt).toBeNull();
  });

  test("is created, read and merged on an Enterprise Server as its own description says", async () => {
    const { github, forgeWith } = await startGithub({ description: "ghes-3.17" });
    const forge = forgeWith(github.addToken());
    const { number } = await forge.createPullRequest(REPOSITORY, NEW, within());
    await forge.decoratePullRequest(REPOSITORY, number, { labels: ["agent"], reviewers: ["ada"] }, within());
    await forge.readPullRequest(REPOSITORY, number, within());
    await forge.mergePullRequest(REPOSITORY, number, { head: WORK, method: "merge" }, within());
  }, 40_000);
});
