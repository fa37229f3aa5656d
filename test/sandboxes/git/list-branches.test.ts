import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { never, openSandboxFixture, type SandboxFixture } from "../fixture.ts";
import { startGitServer } from "./git-server.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const TOKEN = "ghp_branches0123456789";
const root = mkdtempSync(join(tmpdir(), "pb-branches-"));
const server = startGitServer({ root, password: TOKEN });
let fixture: SandboxFixture;
let stranger: SandboxFixture;
beforeAll(async () => {
  const host = { GITHUB_URL: server.url, PRIVATE_GIT_HOSTS: "127.0.0.1" };
  [fixture, stranger] = await Promise.all([
    openSandboxFixture({ env: { ...host, GITHUB_TOKEN: TOKEN } }),
    openSandboxFixture({ env: { GITHUB_URL: server.url, GITHUB_TOKEN: TOKEN } }),
  ]);
});
afterAll(async () => {
  await Promise.all([fixture.remove(), stranger.remove()]);
  server.stop();
  await rm(root, { recursive: true, force: true });
});

test("the branches of a repository of this machine, and its default branch", async () => {
  const { git, path } = fixture.repository;
  await git("branch", "feature/ä-b");
  await git("tag", "v1");
  expect(await fixture.provider.branchesOf({ repo: path }, never)).toEqual({
    defaultBranch: "main",
    names: ["feature/ä-b", "main"],
  });
});

test("those of a host, with the credential for it, whose use is told before; nothing of the repository is kept", async () => {
  await Bun.$`git clone -q --bare ${fixture.repository.path} ${join(root, "octo/shop.git")}`.quiet();
  const used: string[] = [];
  const useSecret = async (secret: string, host: string) => {
    expect(server.authorizations).toHaveLength(0);
    used.push(`${secret} ${host}`);
  };
  const found = await fixture.provider.branchesOf({ repo: "octo/shop", useSecret }, never);
  expect(found).toMatchObject({ defaultBranch: "main", names: expect.arrayContaining(["main"]) });
  expect(used).toEqual([`GITHUB_TOKEN 127.0.0.1:${server.port}`]);
  expect(await readdir(join(fixture.dataDir, "git/empty"))).toEqual([]);
  expect(await readdir(join(fixture.dataDir, "repos")).catch(() => [])).toEqual([]);
});

test("an empty repository has none", async () => {
  await Bun.$`git init -q --bare ${join(root, "octo/new.git")}`.quiet();
  expect(await fixture.provider.branchesOf({ repo: "octo/new" }, never)).toEqual({
    defaultBranch: null,
    names: [],
  });
});

test("what cannot be read is said as a run says it, without the credential", async () => {
  const failure = async (one: SandboxFixture, repo: string) => {
    const error = await one.provider.branchesOf({ repo }, never).catch((thrown: Error) => thrown);
    expect(Bun.inspect(error)).not.toContain(TOKEN);
    return error as Error;
  };
  expect(await failure(fixture, "octo/none")).toMatchObject({
    name: "RepositoryError",
    message: expect.stringContaining("does not exist, or GITHUB_TOKEN may not read it"),
  });
  // A host at a private address that nobody has listed is not asked.
  const before = server.authorizations.length;
  expect((await failure(stranger, "octo/shop")).message).toContain("PRIVATE_GIT_HOSTS");
  expect(server.authorizations).toHaveLength(before);
  expect((await failure(fixture, join(fixture.dataDir, "repos"))).message).toContain("LOCAL_REPOSITORIES");
  expect((await failure(fixture, "ext::sh -c id")).message).toContain("white space");
});

test("it ends with its signal", async () => {
  const reason = new Error("enough");
  await expect(
    fixture.provider.branchesOf({ repo: fixture.repository.path }, AbortSignal.abort(reason)),
  ).rejects.toBe(reason);
});
