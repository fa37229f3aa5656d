import { expect, spyOn, test } from "bun:test";
import { eq } from "drizzle-orm";
import { auditPending } from "../../src/db/safety-tables.ts";
import { openBranchLists } from "../../src/repositories/branches.ts";
import { NotIsolated, RepositoryError, type SandboxProvider } from "../../src/sandboxes/sandbox.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { until } from "../harness/until.ts";
import { repositoriesApp } from "./fixture.ts";

const RULES = { githubUrl: "https://github.com", forges: [], local: undefined };

describeEachDatabase("GET /repositories/branches", (database) => {
  const path = (repo: string) => `/repositories/branches?repo=${encodeURIComponent(repo)}`;

  test("has the branches that a session may name, and the default one", async () => {
    const { get } = repositoriesApp(database(), {
      branches: async () => ({ defaultBranch: "main", names: ["-x", "a..b", "feature/ä", "main"] }),
    });
    expect((await get(path("owner/shop"))).body).toEqual({
      ...{ default_branch: "main", branches: ["feature/ä", "main"], truncated: false },
    });
  });

  test("has no more than a thousand, nor a default branch that is none", async () => {
    const names = Array.from({ length: 1_001 }, (_, index) => `b${index}`);
    const { get } = repositoriesApp(database(), { branches: async () => ({ defaultBranch: "gone", names }) });
    const { body } = await get(path("owner/shop"));
    expect(body).toMatchObject({ default_branch: null, truncated: true });
    expect(body.branches).toHaveLength(1_000);
  });

  test.each([
    ["", "invalid"],
    ["file:///etc", "invalid_repo"],
    ["https://ada:hunter2@git.example/x", "invalid_repo"],
    ["ext::sh", "invalid_repo"],
  ])("refuses what no session may name: %p", async (repo, code) => {
    const { get } = repositoriesApp(database(), {
      env: { KEYCLOAK_ISSUER: "https://issuer.example" },
      branches: () => Promise.reject(new Error("it was asked")),
    });
    const { status, body } = await get(path(repo));
    expect([status, body.code]).toEqual([422, code]);
  });

  test.each([
    ["no such repository", new RepositoryError("There is none."), 409, "repository_unreadable"],
    ["no host", new RepositoryError("It is away.", undefined, "git_host"), 503, "repository_unavailable"],
    ["no isolation", new NotIsolated("No bubblewrap."), 503, "repository_unavailable"],
  ])("says why there are none: %s", async (_, error, status, code) => {
    const { get } = repositoriesApp(database(), { branches: () => Promise.reject(error) });
    const reply = await get(path("owner/shop"));
    expect([reply.status, reply.body.code, reply.body.msg]).toEqual([status, code, error.message]);
  });

  test("notes once a user that the service's credential was used for them", async () => {
    const users = [crypto.randomUUID(), crypto.randomUUID()];
    const sandboxes: Pick<SandboxProvider, "branchesOf"> = {
      async branchesOf({ useSecret }) {
        await useSecret?.("GITHUB_TOKEN", "github.com");
        throw new RepositoryError("There is none.");
      },
    };
    const lists = openBranchLists({ orm: database().orm, rules: RULES, sandboxes });
    for (const user of users) {
      for (const repo of ["owner/shop", "https://github.com/owner/shop"])
        await expect(lists.find(user, repo)).rejects.toMatchObject({ code: "repository_unreadable" });
      const noted = await database().orm.select().from(auditPending).where(eq(auditPending.actor, user));
      expect(noted).toMatchObject([
        {
          ...{ action: "secret.use", target: "secret:GITHUB_TOKEN" },
          detail: { host: "github.com", repo: "https://github.com/owner/shop" },
        },
      ]);
    }
  });

  test("what was said is kept, however the repository is written", async () => {
    let asked = 0;
    const { get } = repositoriesApp(database(), {
      branches: async () => {
        asked += 1;
        return { defaultBranch: "main", names: ["main"] };
      },
    });
    await Promise.all([get(path("owner/shop")), get(path("owner/shop"), "bob")]);
    expect((await get(path("https://github.com/owner/shop"))).body.branches).toEqual(["main"]);
    expect(asked).toBe(1);
  });

  test("what was said is kept for half a minute, and comes with an ETag", async () => {
    const now = performance.now();
    const clock = spyOn(performance, "now").mockReturnValue(now);
    try {
      const names = ["main"];
      const { get } = repositoriesApp(database(), { branches: async () => ({ defaultBranch: null, names }) });
      const { headers } = await get(path("owner/kept"));
      names.push("new");
      const unchanged = { "if-none-match": headers.get("etag") ?? "" };
      clock.mockReturnValue(now + 29_000);
      expect((await get(path("owner/kept"), "alice", unchanged)).status).toBe(304);
      clock.mockReturnValue(now + 31_000);
      // The cache looks at the clock once in a millisecond.
      await until(async () => (await get(path("owner/kept"), "alice", unchanged)).status === 200, {
        what: "the host to be asked again",
      });
      expect((await get(path("owner/kept"))).body.branches).toEqual(["main", "new"]);
    } finally {
      clock.mockRestore();
    }
  });

  test("a host that does not answer is given up, and keeps only its own user waiting", async () => {
    const sandboxes: Pick<SandboxProvider, "branchesOf"> = {
      branchesOf: ({ repo }, signal) =>
        repo.startsWith("owner/slow")
          ? new Promise((_, reject) =>
              signal.addEventListener("abort", () => reject(signal.reason), { once: true }),
            )
          : Promise.resolve({ defaultBranch: null, names: [] }),
    };
    const lists = openBranchLists({ orm: database().orm, rules: RULES, sandboxes, timeoutMs: 500 });
    // More than are asked at once.
    const slow = Array.from({ length: 5 }, (_, index) => lists.find("mallory", `owner/slow${index}`));
    for (const one of slow) one.catch(() => undefined);
    // Before any of them is given up.
    const first = await Promise.race([lists.find("alice", "owner/shop"), ...slow]);
    expect(first).toMatchObject({ branches: [] });
    for (const one of slow)
      await expect(one).rejects.toMatchObject({
        code: "repository_unavailable",
        message: expect.stringContaining("has not answered in time"),
      });
  });

  test("the service's end ends what it asks", async () => {
    const asked = Promise.withResolvers<void>();
    const sandboxes: Pick<SandboxProvider, "branchesOf"> = {
      branchesOf(_, signal) {
        asked.resolve();
        return new Promise((_, reject) =>
          signal.addEventListener("abort", () => reject(signal.reason), { once: true }),
        );
      },
    };
    const lists = openBranchLists({ orm: database().orm, rules: RULES, sandboxes, timeoutMs: 3_600_000 });
    const found = lists.find("alice", "owner/shop").then(
      () => "found",
      () => "ended",
    );
    await asked.promise;
    await lists.close();
    expect(await found).toBe("ended");
  });
});
