import { describe, expect, test } from "bun:test";
import { addPull, type StandInPull } from "../../harness/github/state.ts";
import { NEW, REPOSITORY, startGithub, WORK, within } from "./fixture.ts";

async function withPull(given: Partial<StandInPull> = {}) {
  const started = await startGithub();
  const pull = addPull(started.repository, { ...NEW, ...given });
  const forge = started.forgeWith(started.github.addToken());
  return { ...started, pull, read: () => forge.readPullRequest(REPOSITORY, 1, within()) };
}

describe("the checks of a pull request on GitHub", () => {
  test("are the check runs and the commit statuses of its head", async () => {
    const { repository, read } = await withPull();
    const run = (name: string, status: string, conclusion: string | null, url: string | null = null) => ({
      commit: WORK,
      name,
      status,
      conclusion,
      url,
    });
    repository.checkRuns.push(
      run("build", "completed", "success", "https://ci.example/1"),
      run("lint", "completed", "failure", "javascript:alert(1)"),
      run("deploy", "completed", "skipped"),
      run("advice", "completed", "neutral"),
      run("stopped", "completed", "cancelled"),
      run("slow", "in_progress", null),
      { ...run("of another commit", "completed", "failure"), commit: "0".repeat(40) },
    );
    repository.statuses.push(
      { commit: WORK, context: "ci/old", state: "success", url: "https://old.example/2" },
      { commit: WORK, context: "ci/broken", state: "error", url: null },
      { commit: WORK, context: "ci/waiting", state: "pending", url: null },
    );
    expect((await read()).checks).toEqual([
      { name: "build", status: "passed", url: "https://ci.example/1" },
      { name: "lint", status: "failed", url: null },
      { name: "deploy", status: "skipped", url: null },
      { name: "advice", status: "passed", url: null },
      { name: "stopped", status: "failed", url: null },
      { name: "slow", status: "pending", url: null },
      { name: "ci/old", status: "passed", url: "https://old.example/2" },
      { name: "ci/broken", status: "failed", url: null },
      { name: "ci/waiting", status: "pending", url: null },
    ]);
  });

  test("are read page by page, and not at all beyond a thousand", async () => {
    const { repository, read } = await withPull();
    const runs = (count: number) =>
      Array.from({ length: count }, (_, index) => ({
        commit: WORK,
        name: `check ${index}`,
        status: "completed",
        conclusion: "success",
        url: null,
      }));
    repository.checkRuns = runs(120);
    expect((await read()).checks).toHaveLength(120);
    repository.checkRuns = runs(1_000);
    await expect(read()).rejects.toThrow("There are more than 1000 checks: they are not read.");
  });

  test("are unknown to a token that may not read them, and the rest is known", async () => {
    const { github, forgeWith } = await withPull();
    const forge = forgeWith(github.addToken({ permissions: { pull_requests: "read" } }));
    expect(await forge.readPullRequest(REPOSITORY, 1, within())).toMatchObject({
      state: "open",
      checks: null,
      reviews: [],
    });
  });
});

describe("the reviews of a pull request on GitHub", () => {
  test("are the last word of each reviewer, and who is waited for", async () => {
    const { read } = await withPull({
      author: "robot",
      reviews: [
        { user: "ada", state: "CHANGES_REQUESTED" },
        { user: "grace", state: "APPROVED" },
        { user: "ada", state: "APPROVED", at: "2026-11-28T11:00:00Z" },
        { user: "grace", state: "COMMENTED" },
        { user: "robot", state: "COMMENTED" },
        { user: "linus", state: "CHANGES_REQUESTED" },
        { user: "linus", state: "DISMISSED" },
        { user: "ken", state: "CHANGES_REQUESTED" },
        { user: "barbara", state: "COMMENTED", at: "2026-11-28T09:00:00Z" },
        { user: "barbara", state: "COMMENTED", at: "2026-11-28T12:00:00Z" },
        { user: "barbara", state: "PENDING" },
        { user: null, state: "APPROVED" },
      ],
      reviewers: ["ken", "edsger"],
      teams: ["security"],
    });
    const { reviews } = await read();
    expect(reviews?.map(({ reviewer, state }) => `${reviewer} ${state}`)).toEqual([
      "ada approved",
      "grace approved",
      "linus commented",
      "ken pending",
      "barbara commented",
      "ghost approved",
      "edsger pending",
      "acme/security pending",
    ]);
    expect(reviews?.[0]?.at).toEqual(new Date("2026-11-28T11:00:00Z"));
    expect(reviews?.[4]?.at).toEqual(new Date("2026-11-28T12:00:00Z"));
  });

  test("are read page by page: the last word may be on the last one", async () => {
    const early = Array.from({ length: 60 }, () => ({ user: "ada", state: "COMMENTED" }));
    const { read } = await withPull({ reviews: [...early, { user: "ada", state: "APPROVED" }] });
    expect((await read()).reviews?.map(({ state }) => state)).toEqual(["approved"]);
  });
});

describe("labels and reviewers of a pull request on GitHub", () => {
  test("are added where they are missing, once", async () => {
    const { github, pull, forgeWith } = await withPull({ labels: ["Bug"], reviewers: ["grace"] });
    const forge = forgeWith(github.addToken());
    pull.reviews.push({ user: "linus", state: "APPROVED" });
    const wanted = { labels: ["agent", "bug"], reviewers: ["ada", "grace", "linus", "acme/security"] };
    expect(await forge.decoratePullRequest(REPOSITORY, 1, wanted, within())).toEqual([]);
    expect(pull.labels).toEqual(["Bug", "agent"]);
    expect(pull.reviewers).toEqual(["grace", "ada"]);
    expect(pull.teams).toEqual(["security"]);
    const before = github.requests.filter(({ method }) => method === "POST").length;
    expect(await forge.decoratePullRequest(REPOSITORY, 1, wanted, within())).toEqual([]);
    expect(github.requests.filter(({ method }) => method === "POST")).toHaveLength(before);
  }, 20_000);

  test("that GitHub does not accept keep nobody else out, and are told", async () => {
    const { github, pull, forgeWith } = await withPull();
    const wanted = {
      labels: ["agent", "x".repeat(51)],
      reviewers: ["robot", "nobody", "ada", "other/security"],
    };
    const refused = await forgeWith(github.addToken()).decoratePullRequest(REPOSITORY, 1, wanted, within());
    expect(pull.labels).toEqual(["agent"]);
    expect(pull.reviewers).toEqual(["ada"]);
    expect(pull.teams).toEqual([]);
    expect(refused).toEqual([
      expect.stringContaining("name is too long (maximum is 50 characters)"),
      "robot has opened pull request 1 and cannot be asked to review it.",
      "other/security is a team of another owner and cannot be asked to review acme/shop.",
      expect.stringMatching(
        /refused to ask nobody to review pull request 1 in acme\/shop \(422: Reviews may only/,
      ),
    ]);
  }, 40_000);
});
