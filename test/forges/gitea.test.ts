import { afterEach, beforeEach, expect, test } from "bun:test";
import type { Forge } from "../../src/forges/forge.ts";
import { openGiteaForge } from "../../src/forges/gitea/gitea-forge.ts";
import { commit } from "../harness/forge-stand-in.ts";
import { giteaDescription } from "../harness/gitea-description.ts";
import { type GiteaStandIn, startGiteaStandIn } from "../harness/gitea-stand-in.ts";
import { draftOf, faultOf, HEAD, hostOf, TOKEN } from "./fixture.ts";

const REPOSITORY = { path: "owner/project" };
const BRANCHES = { head: HEAD, base: "main" };
const { signal } = new AbortController();
// It may have to be downloaded, which takes longer than a test.
await giteaDescription();
let gitea: GiteaStandIn;
let forge: Forge;

beforeEach(async () => {
  gitea = await startGiteaStandIn({ token: TOKEN });
  forge = openGiteaForge(hostOf("gitea", gitea));
});

afterEach(async () => {
  expect(gitea.violations).toEqual([]);
  await gitea.stop();
});

test("Gitea's own description of its API is what requests and replies are checked against", () => {
  expect(gitea.unchecked).toBeUndefined();
});

test("a pull request is opened, and found by its branches", async () => {
  expect(await forge.findPullRequest(REPOSITORY, BRANCHES, signal)).toBeUndefined();
  const made = await forge.createPullRequest(REPOSITORY, draftOf(), signal);
  expect(made).toEqual({
    number: 1,
    url: `${gitea.url}/owner/project/pulls/1`,
    title: "A title",
    state: "open",
    draft: false,
    head: commit(2),
    base: "main",
    mergeable: true,
    createdAt: new Date("2026-11-28T11:00:00Z"),
    checks: null,
    reviews: null,
  });
  expect(gitea.pulls[0]?.body).toBe("What was done.");
  expect(await forge.findPullRequest(REPOSITORY, BRANCHES, signal)).toEqual(made);
});

test("a draft is one by the beginning of its title, which is shortened to what Gitea takes", async () => {
  const made = await forge.createPullRequest(
    REPOSITORY,
    draftOf({ draft: true, title: "ü".repeat(300) }),
    signal,
  );
  expect(made.draft).toBe(true);
  expect(made.title).toBe(`WIP: ${"ü".repeat(249)}…`);
});

test("one that exists is said to exist, and can be adopted", async () => {
  const { number } = gitea.addPull({ title: "Opened by hand" });
  const { fault, message } = await faultOf(forge.createPullRequest(REPOSITORY, draftOf(), signal));
  expect(fault).toBe("exists");
  expect(message).toContain("pull request already exists for these targets");
  expect((await forge.findPullRequest(REPOSITORY, BRANCHES, signal))?.number).toBe(number);
});

test("the open one is found before newer ones that are not; else the newest; those of forks and of other bases never", async () => {
  const find = async () => (await forge.findPullRequest(REPOSITORY, BRANCHES, signal))?.number;
  gitea.addPull({ headRepo: 7 });
  gitea.addPull({ headRepo: 7, state: "closed" });
  gitea.addPull({ base: "release", state: "closed" });
  expect(await find()).toBeUndefined();
  for (let count = 0; count < 35; count += 1) gitea.addPull({ head: "other", state: "closed" });
  const old = gitea.addPull({ state: "closed" });
  for (let count = 0; count < 35; count += 1) gitea.addPull({ head: "other", state: "closed" });
  expect(await find()).toBe(old.number);
  const merged = gitea.addPull({ state: "closed", merged: commit(9) });
  expect(await find()).toBe(merged.number);
  old.state = "open";
  expect(await find()).toBe(old.number);
});

test("labels and reviewers are added once; what Gitea does not accept is said, and does not keep the others away", async () => {
  const pull = gitea.addPull({ labels: ["bug"] });
  const wanted = { labels: ["bug", "agent", "from-org", "none"], reviewers: ["nobody", "ann", "ben"] };
  const decorate = () => forge.decoratePullRequest(REPOSITORY, pull.number, wanted, signal);
  const said = await decorate();
  expect(said).toEqual([
    `owner/project has no label "none": create it on ${new URL(gitea.url).host}.`,
    expect.stringContaining("user doesn't exist: nobody"),
  ]);
  expect(pull.labels).toEqual(["bug", "agent", "from-org"]);
  expect(pull.asked).toEqual(["ann", "ben"]);
  // Who has reviewed is no longer among those that were asked.
  pull.asked = ["ben"];
  pull.reviews = [{ user: "ann", state: "APPROVED", at: "2026-11-28T12:00:00Z" }];
  expect(await decorate()).toEqual(said);
  expect(pull.asked).toEqual(["ben"]);
  expect(pull.labels).toEqual(["bug", "agent", "from-org"]);
});

test("a token that may not label pull requests is said, not thrown; one that is limited is thrown", async () => {
  const { number } = gitea.addPull({});
  const decorate = () =>
    forge.decoratePullRequest(REPOSITORY, number, { labels: ["bug"], reviewers: [] }, signal);
  const answerLabels = (status: number) =>
    gitea.intrude(({ method }) =>
      method === "POST"
        ? Response.json({ message: "token does not have at least one of required scope(s)" }, { status })
        : undefined,
    );
  answerLabels(403);
  const [said, ...others] = await decorate();
  expect(others).toEqual([]);
  expect(said).toContain(
    "does not permit to label pull request 1 of owner/project (403: token does not have",
  );
  expect(said).toContain("needs the scopes write:repository and write:issue");
  answerLabels(429);
  expect((await faultOf(decorate())).fault).toBe("rate_limited");
});

test("its state has all checks and the last word of each reviewer", async () => {
  const at = (minute: number) => `2026-11-28T12:0${minute}:00+01:00`;
  const pull = gitea.addPull({
    reviews: [
      { user: "ann", state: "REQUEST_CHANGES", at: at(1) },
      { user: "ben", state: "APPROVED", at: at(2) },
      { user: "ann", state: "APPROVED", at: at(3) },
      { user: "ben", state: "COMMENT", at: at(4) },
      { user: "cas", state: "APPROVED", dismissed: true, at: at(5) },
      { user: "dan", state: "REQUEST_REVIEW", at: at(6) },
      { user: "eve", state: "PENDING", at: at(7) },
    ],
  });
  const states = ["success", "failure", "error", "warning", "pending", "skipped"];
  const more = Array.from({ length: 40 }, (_, index) => `success ${index}`);
  gitea.statuses.set(
    commit(2),
    [...states, ...more].map((one) => ({
      context: one,
      status: one.split(" ")[0] ?? "",
      target_url: one === "error" ? "javascript:alert(1)" : "https://ci.test/1",
    })),
  );
  const { checks, reviews } = await forge.readPullRequest(REPOSITORY, pull.number, signal);
  expect(checks).toHaveLength(46);
  expect(checks?.slice(0, 6).map(({ status }) => status)).toEqual([
    "passed",
    "failed",
    "failed",
    "failed",
    "pending",
    "skipped",
  ]);
  expect(checks?.slice(1, 3).map(({ url }) => url)).toEqual(["https://ci.test/1", null]);
  expect(reviews).toEqual([
    { reviewer: "ann", state: "approved", at: new Date(at(3)) },
    { reviewer: "ben", state: "approved", at: new Date(at(2)) },
    { reviewer: "cas", state: "commented", at: new Date(at(5)) },
    { reviewer: "dan", state: "pending", at: null },
  ]);
});

test("states: draft, closed, merged, without its branch, and checks that the token may not read", async () => {
  const read = async (number: number) => forge.readPullRequest(REPOSITORY, number, signal);
  const pull = gitea.addPull({ title: "WIP: A title", obstacle: "Work in progress PRs cannot be merged" });
  expect(await read(1)).toMatchObject({ state: "open", draft: true, mergeable: false });
  pull.state = "closed";
  expect(await read(1)).toMatchObject({ state: "closed", mergeable: null });
  pull.merged = commit(5);
  gitea.branches.delete(HEAD);
  expect(await read(1)).toMatchObject({
    state: "merged",
    head: null,
    mergeable: null,
    checks: [],
    reviews: [],
  });
  gitea.branches.set(HEAD, commit(2));
  gitea.intrude(({ path }) => (path.endsWith("/status") ? Response.json({}, { status: 403 }) : undefined));
  expect(await read(1)).toMatchObject({ head: commit(2), checks: null });
});

test.each(["merge", "squash", "rebase"] as const)(
  "it is merged by %s, and its branch stays",
  async (method) => {
    const { number } = gitea.addPull({});
    const merged = await forge.mergePullRequest(REPOSITORY, number, { head: commit(2), method }, signal);
    expect(merged).toEqual({ commit: commit(101) });
    expect(gitea.merges).toEqual([
      { do: method, head_commit_id: commit(2), delete_branch_after_merge: false },
    ]);
  },
);

test("what keeps it from being merged is said", async () => {
  const pull = gitea.addPull({});
  const merge = (head = commit(2)) =>
    faultOf(forge.mergePullRequest(REPOSITORY, 1, { head, method: "merge" }, signal));
  expect(await merge(commit(3))).toMatchObject({ fault: "conflict" });
  const refused = async (obstacle: string) => {
    pull.obstacle = obstacle;
    const { fault, message } = await merge();
    expect(message).toContain(`merge pull request 1 of owner/project (405: ${obstacle})`);
    return fault;
  };
  expect(await refused("Work in progress PRs cannot be merged")).toBe("conflict");
  expect(await refused("Please try again later")).toBe("unavailable");
  expect(await refused("User not allowed to merge PR")).toBe("forbidden");
  expect(await refused("rebase is not allowed an allowed merge style for this repository")).toBe("invalid");
  pull.state = "closed";
  expect(await merge()).toMatchObject({ fault: "missing" });
  expect(gitea.merges).toEqual([]);
});
