import { afterEach, beforeEach, expect, test } from "bun:test";
import type { Forge } from "../../src/forges/forge.ts";
import { openGitlabForge } from "../../src/forges/gitlab/gitlab-forge.ts";
import { commit } from "../harness/forge-stand-in.ts";
import { type GitlabStandIn, startGitlabStandIn } from "../harness/gitlab-stand-in.ts";
import { draftOf, faultOf, HEAD, hostOf, TOKEN } from "./fixture.ts";

const REPOSITORY = { path: "group/sub.group/project" };
const BRANCHES = { head: HEAD, base: "main" };
const { signal } = new AbortController();
let gitlab: GitlabStandIn;
let forge: Forge;

beforeEach(() => {
  gitlab = startGitlabStandIn({ token: TOKEN });
  forge = openGitlabForge(hostOf("gitlab", gitlab));
});

afterEach(async () => {
  expect(gitlab.violations).toEqual([]);
  await gitlab.stop();
});

test("a merge request is opened in a project of nested groups, and found by its branches", async () => {
  expect(await forge.findPullRequest(REPOSITORY, BRANCHES, signal)).toBeUndefined();
  const made = await forge.createPullRequest(REPOSITORY, draftOf(), signal);
  expect(made).toEqual({
    number: 1,
    url: `${gitlab.url}/group/sub.group/project/-/merge_requests/1`,
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
  expect(gitlab.merges[0]?.description).toBe("What was done.");
  expect(await forge.findPullRequest(REPOSITORY, BRANCHES, signal)).toEqual(made);
});

test("a draft is one by the beginning of its title, which is there once", async () => {
  const titles = ["A title", "Draft: A title", "[draft] A title", "(Draft) A title"];
  for (const [index, title] of titles.entries()) {
    gitlab.branches.set(`branch-${index}`, commit(3));
    await forge.createPullRequest(
      REPOSITORY,
      draftOf({ draft: true, title, head: `branch-${index}` }),
      signal,
    );
  }
  expect(gitlab.merges.map(({ title }) => title)).toEqual(["Draft: A title", ...titles.slice(1)]);
});

test("one that exists is said to exist, and can be adopted; a branch that is missing is said", async () => {
  const { iid } = gitlab.addMerge({ title: "Opened by hand" });
  const { fault, message } = await faultOf(forge.createPullRequest(REPOSITORY, draftOf(), signal));
  expect(fault).toBe("exists");
  expect(message).toContain("Another open merge request already exists for this source branch: !1");
  expect((await forge.findPullRequest(REPOSITORY, BRANCHES, signal))?.number).toBe(iid);
  const missing = await faultOf(forge.createPullRequest(REPOSITORY, draftOf({ head: "none" }), signal));
  expect(missing.fault).toBe("invalid");
  expect(missing.message).toContain("(400: source_branch:does not exist)");
});

test("the open one is found before newer ones that are not; else the newest; those of forks never", async () => {
  const find = async () => (await forge.findPullRequest(REPOSITORY, BRANCHES, signal))?.number;
  const old = gitlab.addMerge({ state: "closed" });
  for (let count = 0; count < 25; count += 1) gitlab.addMerge({ headProject: 7 });
  gitlab.addMerge({ base: "release" });
  expect(await find()).toBe(old.iid);
  const merged = gitlab.addMerge({ state: "merged" });
  expect(await find()).toBe(merged.iid);
  old.state = "opened";
  expect(await find()).toBe(old.iid);
});

test("labels and reviewers are added in one change, once; what GitLab passes over is said", async () => {
  const merge = gitlab.addMerge({ labels: ["bug"] });
  const wanted = { labels: ["bug", "agent", "one, two"], reviewers: ["nobody", "ANN", "ben"] };
  const decorate = () => forge.decoratePullRequest(REPOSITORY, 1, wanted, signal);
  const changes = () => gitlab.requests.filter(({ method }) => method === "PUT");
  expect(await decorate()).toEqual([
    expect.stringContaining('did not add the label "one, two"'),
    expect.stringContaining("did not ask nobody"),
    // GitLab's free tier has one reviewer.
    expect.stringContaining("did not ask ben"),
  ]);
  expect(merge).toMatchObject({ labels: ["bug", "agent"], reviewers: [{ username: "ann" }] });
  expect(changes().map(({ body }) => body)).toEqual([{ add_labels: ["agent"], reviewer_ids: [1, 2] }]);
  const held = { labels: ["agent"], reviewers: ["Ann"] };
  expect(await forge.decoratePullRequest(REPOSITORY, 1, held, signal)).toEqual([]);
  expect(changes()).toHaveLength(1);
});

test("a token that may not change merge requests is said, not thrown; one that is limited is thrown", async () => {
  gitlab.addMerge({});
  const decorate = () => forge.decoratePullRequest(REPOSITORY, 1, { labels: ["bug"], reviewers: [] }, signal);
  const answerChange = (status: number) =>
    gitlab.intrude(({ method }) =>
      method === "PUT" ? Response.json({ error: "insufficient_scope" }, { status }) : undefined,
    );
  answerChange(403);
  const [said, ...others] = await decorate();
  expect(others).toEqual([]);
  expect(said).toContain("does not permit to label merge request 1");
  expect(said).toContain("(403: insufficient_scope)");
  expect(said).toContain("needs the scope api");
  answerChange(429);
  expect((await faultOf(decorate())).fault).toBe("rate_limited");
});

test("its state has the newest of all jobs, and what its reviewers last said", async () => {
  gitlab.addMerge({
    pipeline: { id: 70, status: "failed" },
    reviewers: [
      { username: "ann", state: "unapproved" },
      { username: "ben", state: "requested_changes" },
      { username: "cas", state: "reviewed" },
      { username: "dan", state: "approved" },
    ],
    approvals: [{ username: "eve", at: "2026-11-28T12:03:00.000+01:00" }],
  });
  gitlab.addStatus({ name: "again", status: "success" });
  gitlab.addStatus({ name: "again", status: "failed", target_url: "javascript:alert(1)" });
  for (const status of ["success", "failed", "canceled", "skipped", "manual", "running"])
    for (const allow_failure of [false, true])
      gitlab.addStatus({
        name: `${status} ${allow_failure}`,
        status,
        allow_failure,
        target_url: "https://ci.test/1",
      });
  for (let count = 0; count < 120; count += 1) gitlab.addStatus({ name: `job ${count}` });
  const { checks, reviews } = await forge.readPullRequest(REPOSITORY, 1, signal);
  expect(checks).toHaveLength(133);
  expect(checks?.[0]).toEqual({ name: "again", status: "failed", url: null });
  expect(checks?.[1]?.url).toBe("https://ci.test/1");
  expect(checks?.slice(1, 13).map(({ name, status }) => `${name}: ${status}`)).toEqual([
    ...["success false: passed", "success true: passed", "failed false: failed", "failed true: skipped"],
    ...[
      "canceled false: failed",
      "canceled true: skipped",
      "skipped false: skipped",
      "skipped true: skipped",
    ],
    ...["manual false: pending", "manual true: skipped", "running false: pending", "running true: pending"],
  ]);
  expect(reviews).toEqual([
    { reviewer: "ann", state: "pending", at: null },
    { reviewer: "ben", state: "changes_requested", at: null },
    { reviewer: "cas", state: "commented", at: null },
    { reviewer: "dan", state: "approved", at: null },
    { reviewer: "eve", state: "approved", at: new Date("2026-11-28T11:03:00Z") },
  ]);
});

test("states: draft, checking, closed, merged, its pipeline alone, and checks that the token may not read", async () => {
  const read = () => forge.readPullRequest(REPOSITORY, 1, signal);
  const merge = gitlab.addMerge({
    title: "Draft: A title",
    status: "draft_status",
    pipeline: { id: 71, status: "failed" },
  });
  const url = `${gitlab.url}/group/sub.group/project/-/pipelines/71`;
  expect(await read()).toMatchObject({ state: "open", draft: true, mergeable: false });
  expect((await read()).checks).toEqual([{ name: "pipeline", status: "failed", url }]);
  merge.status = "checking";
  expect(await read()).toMatchObject({ mergeable: null });
  merge.state = "locked";
  expect(await read()).toMatchObject({ state: "open", mergeable: null });
  merge.state = "closed";
  expect(await read()).toMatchObject({ state: "closed", mergeable: null });
  merge.state = "merged";
  expect(await read()).toMatchObject({ state: "merged", mergeable: null });
  merge.pipeline = undefined;
  expect((await read()).checks).toEqual([]);
  gitlab.intrude(({ path }) =>
    path.endsWith("/statuses") ? Response.json({ message: "403 Forbidden" }, { status: 403 }) : undefined,
  );
  expect(await read()).toMatchObject({ head: commit(2), checks: null });
});

test.each([
  ["merge", false, 101],
  ["squash", true, 101],
] as const)("it is merged by %s", async (method, squash, made) => {
  gitlab.addMerge({});
  const merged = await forge.mergePullRequest(REPOSITORY, 1, { head: commit(2), method }, signal);
  expect(merged).toEqual({ commit: commit(made) });
  expect(gitlab.requests.map(({ body }) => body)).toEqual([{ sha: commit(2), squash }]);
});

test("GitLab merges by rebase only where the project says so, and this is said without a request", async () => {
  const call = forge.mergePullRequest(REPOSITORY, 1, { head: commit(2), method: "rebase" }, signal);
  const { fault, message } = await faultOf(call);
  expect(fault).toBe("invalid");
  expect(message).toContain("choose merge or squash");
  expect(gitlab.requests).toEqual([]);
});

test("what keeps it from being merged is said", async () => {
  const merge = gitlab.addMerge({});
  const refused = async (head = commit(2)) => {
    const call = forge.mergePullRequest(REPOSITORY, 1, { head, method: "merge" }, signal);
    const { fault, message } = await faultOf(call);
    return [fault, message.replace(/^.* to merge merge request 1 of group\/sub\.group\/project /, "")];
  };
  expect(await refused(commit(3))).toEqual([
    "conflict",
    `(409: SHA does not match HEAD of source branch: ${commit(2)}).`,
  ]);
  merge.status = "conflict";
  const conflicts = "(422: Branch cannot be merged). It has conflicts with the target branch.";
  expect(await refused()).toEqual(["conflict", conflicts]);
  merge.status = "ci_must_pass";
  const failed = "(405: 405 Method Not Allowed). Its pipeline must succeed first.";
  expect(await refused()).toEqual(["conflict", failed]);
  merge.status = "merge_request_blocked";
  const blocked = "(405: 405 Method Not Allowed). Another merge request must be merged first.";
  expect(await refused()).toEqual(["conflict", blocked]);
  merge.status = "locked_paths";
  const other = '(405: 405 Method Not Allowed). GitLab calls its state "locked_paths".';
  expect(await refused()).toEqual(["conflict", other]);
  merge.state = "merged";
  expect(await refused()).toEqual(["conflict", "(405: 405 Method Not Allowed). It is merged already."]);
});

test("a user who may not merge is told from a token that is not good: GitLab answers both in the same words", async () => {
  gitlab.addMerge({});
  const merge = (by: Forge) =>
    faultOf(by.mergePullRequest(REPOSITORY, 1, { head: commit(2), method: "merge" }, signal));
  gitlab.intrude(() => Response.json({ message: "401 Unauthorized" }, { status: 401 }));
  const { fault, message } = await merge(forge);
  expect(fault).toBe("forbidden");
  expect(message).toContain("needs the scope api, and its user the permission");
  expect(await merge(openGitlabForge(hostOf("gitlab", gitlab, "another")))).toMatchObject({
    fault: "unauthorised",
    message: expect.stringContaining("is wrong, has expired or was revoked"),
  });
});
