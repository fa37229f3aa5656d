import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { auditPending } from "../../src/db/safety-tables.ts";
import { openBranchLists } from "../../src/repositories/branches.ts";
import { NotIsolated, RepositoryError, type SandboxProvider } from "../../src/sandboxes/sandbox.ts";
import { describeEachDatabase } from "../harness/databases.ts";
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

  test("notes once that the service's credential was used for a user", async () => {
    const user = crypto.randomUUID();
    const sandboxes: Pick<SandboxProvider, "branchesOf"> = {
      async branchesOf({ useSecret }) {
        await useSecret?.("GITHUB_TOKEN", "github.com");
        throw new RepositoryError("There is none.");
      },
    };
    const lists = openBranchLists({ orm: database().orm, rules: RULES, sandboxes });
    for (const repo of ["owner/shop", "https://github.com/owner/shop"])
      await expect(lists.find(user, repo)).rejects.toMatchObject({ code: "repository_unreadable" });
    const noted = await database().orm.select().from(auditPending).where(eq(auditPending.actor, user));
    expect(noted).toMatchObject([
      {
        ...{ action: "secret.use", target: "secret:GITHUB_TOKEN" },
        detail: { host: "github.com", repo: "https://github.com/owner/shop" },
      },
    ]);
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

  test("a host that does not answer is given up, and keeps only its own user waiting", async () => {
    const sandboxes: Pick<SandboxProvider, "branchesOf"> = {
      branchesOf: ({ repo }, signal) =>
        repo === "owner/slow"
          ? new Promise((_, reject) =>
              signal.addEventListener("abort", () => reject(signal.reason), { once: true }),
            )
          : Promise.resolve({ defaultBranch: null, names: [] }),
    };
    const lists = openBranchLists({ orm: database().orm, rules: RULES, sandboxes, timeoutMs: 50 });
    const slow = lists.find("mallory", "owner/slow");
    slow.catch(() => undefined);
    expect(await lists.find("alice", "owner/shop")).toMatchObject({ branches: [] });
    await expect(slow).rejects.toMatchObject({
      code: "repository_unavailable",
      message: expect.stringContaining("has not answered in time"),
    });
  });
});
