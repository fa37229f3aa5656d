import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import { recentRepositories } from "../../src/repositories/store.ts";
import { exampleRepository } from "../../src/sandboxes/example-repository.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { scansOfCall } from "../harness/plan.ts";
import { listingForge, repositoriesApp, seedUses } from "./fixture.ts";

interface Row {
  repo: string;
  target_branch: string | null;
  title: string;
  source: string;
  last_used_at: string | null;
}
const names = (rows: readonly Row[]) => rows.map(({ repo }) => repo);

describeEachDatabase("GET /repositories", (database) => {
  const dataDir = mkdtempSync(join(tmpdir(), "pb-repositories-"));
  let example: string;
  beforeAll(async () => {
    example = await exampleRepository({ dataDir, path: process.env["PATH"] ?? "" });
  });
  afterAll(() => rmSync(dataDir, { recursive: true, force: true }));

  test("has each repository of a user's sessions once, with the newest target branch, the last used ones first", async () => {
    const user = crypto.randomUUID();
    await seedUses(database(), user, [
      ["owner/shop", "main"],
      ["https://git.example/group/tool.git", "trunk"],
      ["owner/shop", "release"],
      ["owner/gone", "main", "deleted"],
    ]);
    await seedUses(database(), `${user} other`, [["owner/theirs", "main"]]);
    const { get } = repositoriesApp(database());
    const { body } = await get("/repositories", user);
    expect(body).toEqual({
      repositories: [
        {
          ...{ repo: "owner/shop", target_branch: "release", title: "owner/shop", source: "recent" },
          last_used_at: "2026-11-28T10:02:00.000Z",
        },
        {
          ...{ repo: "https://git.example/group/tool.git", target_branch: "trunk", source: "recent" },
          ...{ title: "git.example/group/tool", last_used_at: "2026-11-28T10:01:00.000Z" },
        },
      ],
      unavailable: [],
    });
  });

  test("has one that was written in several ways once", async () => {
    const user = crypto.randomUUID();
    await seedUses(database(), user, [
      ["https://github.com/owner/shop.git", "main"],
      ["owner/shop", "release"],
    ]);
    const { get } = repositoriesApp(database());
    expect((await get("/repositories", user)).body.repositories).toMatchObject([
      { repo: "owner/shop", target_branch: "release" },
    ]);
  });

  test("filters by a part of the name, and has as many as are asked for", async () => {
    const user = crypto.randomUUID();
    await seedUses(database(), user, [
      ["owner/shop", "main"],
      ["owner/SHOPPING", "main"],
      ["owner/100%_tool", "main"],
      ["owner/tool", "main"],
    ]);
    const { get } = repositoriesApp(database());
    const found = async (query: string) =>
      names((await get(`/repositories?${query}`, user)).body.repositories);
    expect(await found("q=Shop")).toEqual(["owner/SHOPPING", "owner/shop"]);
    expect(await found("limit=1")).toEqual(["owner/tool"]);
    expect(await found("q=shop&limit=1")).toEqual(["owner/SHOPPING"]);
    expect(await found("q=%25")).toEqual([]);
    for (const query of ["limit=0", "limit=201", "limit=x", `q=${"x".repeat(201)}`, "cursor=1"])
      expect((await get(`/repositories?${query}`, user)).status).toBe(422);
  });

  test("leaves out what a session may not name any more, as an address with a credential", async () => {
    const user = crypto.randomUUID();
    await seedUses(database(), user, [
      ["https://ada:hunter2@git.example/owner/shop", "main"],
      ["/etc", "main"],
      ["owner/tool", "main"],
    ]);
    const { get } = repositoriesApp(database());
    expect(names((await get("/repositories", user)).body.repositories)).toEqual(["owner/tool"]);
  });

  test("has the example, also once it was used; not where paths are no repositories", async () => {
    const user = crypto.randomUUID();
    const { get } = repositoriesApp(database(), { env: { DATA_DIR: dataDir } });
    const unused = { repo: example, target_branch: "main", title: "Example repository", source: "example" };
    expect((await get("/repositories", user)).body.repositories).toEqual([{ ...unused, last_used_at: null }]);
    await seedUses(database(), user, [[example, "other"]]);
    // A part of its title alone.
    expect((await get("/repositories?q=example%20repository", user)).body.repositories).toEqual([
      { ...unused, target_branch: "other", last_used_at: "2026-11-28T10:00:00.000Z" },
    ]);
    const oidc = { DATA_DIR: dataDir, KEYCLOAK_ISSUER: "https://issuer.example" };
    expect((await repositoriesApp(database(), { env: oidc }).get("/repositories", user)).body).toMatchObject({
      repositories: [],
    });
  });

  test("comes with an ETag", async () => {
    const { get } = repositoriesApp(database());
    const { headers } = await get("/repositories", "nobody");
    const again = { "if-none-match": headers.get("etag") ?? "" };
    expect((await get("/repositories", "nobody", again)).status).toBe(304);
  });

  test("suggests those of hosts after the others, and only what a session may name", async () => {
    const user = crypto.randomUUID();
    await seedUses(database(), user, [["https://forge.example/owner/used", "main"]]);
    const forge = listingForge("https://forge.example", async () => [
      { path: "owner/new", defaultBranch: "trunk" },
      { path: "owner/used", defaultBranch: "trunk" },
      { path: "owner/empty", defaultBranch: null },
      { path: "owner/odd", defaultBranch: "--upload-pack=id" },
      { path: "../../evil", defaultBranch: "main" },
      { path: "ada:hunter2@evil.example/x", defaultBranch: "main" },
      { path: "owner/new?token=x", defaultBranch: "main" },
    ]);
    const { get } = repositoriesApp(database(), { forges: [forge] });
    const rows: Row[] = (await get("/repositories", user)).body.repositories;
    expect(rows.map(({ title, target_branch, source }) => [title, target_branch, source])).toEqual([
      ["owner/used", "main", "recent"],
      ["owner/new", "trunk", "forge"],
      ["owner/empty", null, "forge"],
      ["owner/odd", null, "forge"],
    ]);
    expect(rows[1]?.repo).toBe("https://forge.example/owner/new");
    // A part of their addresses alone.
    expect((await get("/repositories?q=Forge.example", user)).body.repositories).toEqual(rows);
  });

  test("costs as many look-ups as there are repositories, not as there are sessions", async () => {
    const user = crypto.randomUUID();
    const uses = Array.from({ length: 900 }, (_, index) => [`owner/r${index % 3}`, "main"] as const);
    await seedUses(database(), user, uses);
    await database().orm.execute(sql`analyze session`);
    const scans = await scansOfCall(database().orm, (orm) => recentRepositories(orm, user));
    const ofSessions = scans.filter(({ table }) => table === "session");
    expect(ofSessions.map(({ index }) => index)).toEqual(["session_user_repo", "session_user_repo"]);
    // Rows of several loops are an average, which PostgreSQL rounds up to a whole one.
    expect(ofSessions.reduce((sum, { rows }) => sum + rows, 0)).toBeLessThan(5);
  });
});
