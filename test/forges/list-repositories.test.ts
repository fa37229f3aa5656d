import { afterEach, describe, expect, test } from "bun:test";
import type { ForgeHost } from "../../src/config/forge-hosts.ts";
import { ForgeError } from "../../src/forges/forge.ts";
import { openForges } from "../../src/forges/open-forges.ts";
import { giteaDescription } from "../harness/gitea-description.ts";
import { startGiteaStandIn } from "../harness/gitea-stand-in.ts";
import { refusal } from "../harness/github/replies.ts";
import { startGitlabStandIn } from "../harness/gitlab-stand-in.ts";
import { faultOf, hostOf, TOKEN } from "./fixture.ts";
import { startGithub } from "./github/fixture.ts";

await giteaDescription();
const running: { stop(): Promise<void>; violations: readonly string[] }[] = [];
afterEach(async () => {
  for (const one of running.splice(0)) {
    expect(one.violations).toEqual([]);
    await one.stop();
  }
});

const { signal } = new AbortController();
const noFailure = (error: unknown) => {
  throw error;
};
const list = async (host: ForgeHost, onPartFailed: (error: unknown) => void = noFailure) => {
  const [forge] = openForges([host]).all;
  return (await forge?.listRepositories(signal, onPartFailed))?.map(
    ({ path, defaultBranch }) => `${path} ${defaultBranch}`,
  );
};
const day = (number: number) => `2026-11-${String(number).padStart(2, "0")}T10:00:00Z`;

describe("GitHub lists", () => {
  test("a user's repositories, the last pushed ones first, without what nobody could push to", async () => {
    const { github, repository } = await startGithub({ repository: { pushedAt: day(2) } });
    github.addRepository("acme/new", { pushedAt: day(3), defaultBranch: "trunk" });
    github.addRepository("acme/old", { pushedAt: day(4), archived: true });
    github.addRepository("acme/theirs", { pushedAt: day(5), readers: ["robot"] });
    expect(await list(github.host(github.addToken()))).toEqual(["acme/new trunk", "acme/shop main"]);
    expect(await list(github.host(github.addToken({ repositories: [repository.path] })))).toEqual([
      "acme/shop main",
    ]);
    expect(github.requests.map(({ path }) => path)).toEqual(["/user/repos", "/user/repos"]);
  });

  test("those where an app is installed, with tokens that can do nothing else; not where it is suspended", async () => {
    const { github } = await startGithub({ repository: { pushedAt: day(2) } });
    github.addRepository("globex/app", { pushedAt: day(3) });
    github.addRepository("gone/app");
    const permissions = { metadata: "read", contents: "write" };
    const app = github.addApp({
      installations: [
        { id: 7, repositories: ["acme/shop"], permissions, suspended: false },
        { id: 8, repositories: ["globex/app"], permissions, suspended: false },
        { id: 9, repositories: ["gone/app"], permissions, suspended: true },
      ],
    });
    expect(await list(github.host(app))).toEqual(["globex/app main", "acme/shop main"]);
    expect(github.tokens.map((one) => one.permissions)).toEqual([{ metadata: "read" }, { metadata: "read" }]);
  });

  test("where an installation of an app fails, those of the others, and tells why", async () => {
    const { github } = await startGithub();
    github.addRepository("globex/app");
    const permissions = { metadata: "read", contents: "write" };
    const app = github.addApp({
      installations: [
        { id: 7, repositories: ["acme/shop"], permissions, suspended: false },
        { id: 8, repositories: ["globex/app"], permissions, suspended: false },
      ],
    });
    const mint = (id: number) => new RegExp(`^POST /app/installations/${id}/access_tokens$`);
    github.once(mint(7), refusal(404, "Not Found"));
    const failures: unknown[] = [];
    expect(await list(github.host(app), (error) => failures.push(error))).toEqual(["globex/app main"]);
    expect(failures).toEqual([expect.any(ForgeError)]);
    expect(failures).toMatchObject([
      { fault: "missing", message: expect.stringContaining("The installation 7 of the GitHub App") },
    ]);
    for (const id of [7, 8]) github.once(mint(id), refusal(404, "Not Found"));
    expect((await faultOf(list(github.host(app)))).fault).toBe("missing");
  });

  test("nothing with a credential that it does not accept", async () => {
    const { github } = await startGithub();
    const forge = openForges([github.host(github.addToken())]).all[0];
    github.once(/^GET \/user\/repos$/, refusal(401, "Bad credentials"));
    expect((await faultOf(forge?.listRepositories(signal, noFailure) ?? Promise.resolve())).fault).toBe(
      "unauthorised",
    );
  });
});

test("GitLab lists the projects whose members may push, the last active ones first", async () => {
  const gitlab = startGitlabStandIn({ token: TOKEN });
  running.push(gitlab);
  const common = { defaultBranch: "main", role: 30, archived: false };
  gitlab.projects.push(
    { ...common, path: "group/sub.group/project", at: day(2) },
    { ...common, path: "group/new", at: day(3), defaultBranch: null },
    { ...common, path: "group/archived", at: day(4), archived: true },
    { ...common, path: "group/read-only", at: day(5), role: 20 },
  );
  expect(await list(hostOf("gitlab", gitlab))).toEqual(["group/new null", "group/sub.group/project main"]);
});

test("Gitea lists a user's repositories by name, of which the last changed ones come first", async () => {
  const gitea = await startGiteaStandIn({ token: TOKEN });
  running.push(gitea);
  const common = { defaultBranch: "main", push: true, archived: false };
  for (let number = 1; number <= 28; number += 1)
    gitea.repositories.push({ ...common, path: `owner/r${number}`, at: day(number) });
  gitea.repositories.push({ ...common, path: "owner/read-only", at: day(30), push: false });
  gitea.repositories.push({ ...common, path: "owner/archived", at: day(30), archived: true });
  gitea.repositories.push({ ...common, path: "owner/second-page", at: day(29), defaultBranch: "" });
  const found = await list(hostOf("gitea", gitea));
  expect(found).toHaveLength(29);
  expect(found?.slice(0, 2)).toEqual(["owner/second-page null", "owner/r28 main"]);
  expect(gitea.requests).toHaveLength(2);
});

test("a repository without a name that could be one, and a page without end, are refused", async () => {
  const gitea = await startGiteaStandIn({ token: TOKEN });
  running.push(gitea);
  const forge = openForges([hostOf("gitea", gitea)]).all[0];
  const listed = () => faultOf(forge?.listRepositories(signal, noFailure) ?? Promise.resolve());
  gitea.intrude(() => Response.json([{ full_name: "", updated_at: day(1) }]));
  expect((await listed()).fault).toBe("unavailable");
  gitea.intrude(() => Response.json(Array(101).fill({ full_name: "a/b", updated_at: day(1) })));
  expect((await listed()).fault).toBe("unavailable");
});
