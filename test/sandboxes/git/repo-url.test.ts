import { describe, expect, test } from "bun:test";
import { readConfig } from "../../../src/config/config.ts";
import {
  checkBranchName,
  checkSessionBranch,
  parseRepo,
  type RepoRules,
} from "../../../src/sandboxes/git/repo-url.ts";

const { forges } = readConfig({
  GITLAB_TOKEN: "glpat-1",
  PRIVATE_GIT_HOSTS: "git.lan",
  FORGES: JSON.stringify([
    { host: "git.example.com/code", kind: "gitea", token: "t" },
    { host: "http://git.lan:3000", kind: "gitea" },
  ]),
});
const github: RepoRules = { githubUrl: "https://github.com", forges, local: undefined };
const local = { ...github, local: { roots: ["/srv"], dataDir: "/srv/data" } };

describe("parseRepo", () => {
  test("owner/name", () => {
    const url = "https://github.com/octo/hello.git";
    expect(parseRepo("octo/hello", github)).toMatchObject({ url, kind: "remote" });
    expect(parseRepo("octo/hello.git", github)).toMatchObject({ url, kind: "remote" });
    expect(parseRepo("o_corp/a.b-c_d", github).hosted).toMatchObject({
      host: { url: "https://github.com" },
      path: "o_corp/a.b-c_d",
    });
  });

  test("https, paths, loopback", () => {
    expect(parseRepo("https://example.com/a/b.git", github).kind).toBe("remote");
    expect(parseRepo("/srv/repo", local)).toEqual({ url: "/srv/repo", display: "/srv/repo", kind: "local" });
    expect(parseRepo("file:///srv/my%20repo", local).url).toBe("/srv/my repo");
    expect(parseRepo("http://127.0.0.1:3000/a", local).kind).toBe("remote");
    // As the operator wrote it.
    expect(parseRepo("http://git.lan:3000/a/b", github).hosted?.host.kind).toBe("gitea");
  });

  test.each([
    ["https://github.com/a/b.git/", "https://github.com", "a/b"],
    ["https://GitHub.com:443/a/b", "https://github.com", "a/b"],
    ["https://gitlab.com/group/sub/name", "https://gitlab.com", "group/sub/name"],
    ["https://git.example.com/code/a/b", "https://git.example.com/code", "a/b"],
  ])("%s is on the host that the configuration has", (text, host, path) => {
    const { hosted } = parseRepo(text, github);
    expect([hosted?.host.url, hosted?.path]).toEqual([host, path]);
  });

  test.each([
    "https://github.com.evil.example/a/b",
    "https://github.com./a/b",
    "https://github.com:8443/a/b",
    "https://evil.example/github.com/a/b",
    "https://evil.example/https://github.com/a/b",
    "https://sub.gitlab.com/a/b",
    "https://git.example.com/codes/a/b",
    "https://git.example.com/code/%2e%2e/a/b",
    "https://git.example.com/a/b",
    "https://git.lan:3000/a/b",
  ])("%s is on none of them", (text) => {
    expect(parseRepo(text, github).hosted).toBeUndefined();
  });

  test.each([
    ["git@github.com:a/b.git", "https://github.com/a/b.git"],
    ["ssh://git@gitlab.com/group/sub/name", "https://gitlab.com/group/sub/name"],
    ["ssh://git@git.example.com:2222/a/b.git", "https://git.example.com/code/a/b.git"],
    ["git+ssh://other.example:22/a/b", "https://other.example/a/b"],
    ["me@GIT.lan:a/b", "http://git.lan:3000/a/b"],
  ])("%s is refused, and %s named instead", (text, instead) => {
    expect(() => parseRepo(text, github)).toThrow(
      `repo: is an SSH address, and the service reaches repositories over https: use ${instead} (it may be`,
    );
  });

  test.each(["ssh://git@other.example:2222/a/b", "ssh://git@ssh.github.com:443/a/b", "git@github.com:a?b"])(
    "%s does not tell where its repository is over https",
    (text) => {
      expect(() => parseRepo(text, github)).toThrow(
        "repo: is an SSH address, and the service reaches repositories over https (it may be",
      );
    },
  );

  test.each([
    "",
    "a",
    "a/b/c",
    "-a/b",
    "--upload-pack=x",
    "a/..",
    "../b",
    "a/.git",
    "ext::sh -c x",
    "ext::sh%20-c",
    "ssh://h/a",
    "git@github.com:a/b",
    "git://h/a",
    "file:///x",
    "/srv/x",
    "http://example.com/a",
    "http://127.0.0.1/a",
    "https://h",
    "https://u:p@h/a",
    "https://u@h/a",
    "https://h/a?b",
    "https://h/a#b",
    "a/b\n",
    "a /b",
    "a/b\0",
    "https://h/a/../b",
  ])("%j is refused", (text) => {
    expect(() => parseRepo(text, github)).toThrow(
      expect.objectContaining({ name: "AppError", code: "invalid_repo" }),
    );
  });

  test.each([
    "file:///a/%2e%2e/b%0a",
    "file:///a%00",
    "/a/../b",
    "file://elsewhere/a",
    "/srv/a\nb",
    "/a/b",
    "/srvs/a",
    "/srv/data/repos/a.git",
    "http://10.0.0.1/a",
  ])("%j is refused even if paths are allowed", (text) => {
    expect(() => parseRepo(text, local)).toThrow(expect.objectContaining({ code: "invalid_repo" }));
  });

  test("a password in the URL is refused with advice, and not repeated", () => {
    const refused = () => parseRepo("https://me:hunter2@github.com/a/b", github);
    expect(refused).toThrow("GITHUB_TOKEN");
    expect(refused).not.toThrow("hunter2");
  });
});

describe("branch names", () => {
  test("generated names are accepted exactly if git check-ref-format accepts them", async () => {
    const pieces = [
      "c",
      "d1",
      "main",
      "x-y",
      "_",
      "a",
      "b",
      "/",
      "/",
      ".",
      "..",
      "@",
      "{",
      "@{",
      "-",
      "~",
      "^",
      ":",
      "?",
      "*",
      "[",
      "\\",
      " ",
      "\t",
      ".lock",
      "é",
      "HEAD",
      "\x7f",
    ];
    let seed = 42;
    const random = (below: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return Math.floor((seed / 2_147_483_648) * below);
    };
    const names = new Set(["@", "HEAD", "a.lock", "a.lock/b", "a/.b", "a.", "a/", "/a", "-", "a//b", "main"]);
    while (names.size < 600)
      names.add(Array.from({ length: 1 + random(6) }, () => pieces[random(pieces.length)]).join(""));
    let good = 0;
    for (const name of names) {
      // git accepts "@" as a synonym of HEAD; it is not a branch name.
      if (name === "@") continue;
      const git = Bun.spawnSync(["git", "check-ref-format", "--branch", name], { cwd: "/" });
      const expected = git.exitCode === 0;
      good += expected ? 1 : 0;
      const check = () => checkBranchName(name);
      if (expected) expect(check, JSON.stringify(name)).not.toThrow();
      else expect(check, JSON.stringify(name)).toThrow(expect.objectContaining({ code: "invalid_branch" }));
    }
    expect(good).toBeGreaterThan(50);
  });

  test("@ alone is refused: git reads it as HEAD", () => {
    expect(() => checkBranchName("@")).toThrow("branch name");
  });

  test("the length limit is in bytes", () => {
    expect(() => checkBranchName("a".repeat(200))).not.toThrow();
    expect(() => checkBranchName("é".repeat(101))).toThrow("branch name");
  });
});

describe("the branch of a session", () => {
  test.each([
    "main",
    "prompt",
    "prompt/",
    "xprompt/a",
    "Prompt/a",
    "refs/heads/prompt/a",
    "HEAD",
    "prompt/a..b",
  ])("%s is refused", (name) => {
    expect(() => checkSessionBranch(name, "prompt/", "main")).toThrow(
      expect.objectContaining({ code: "invalid_branch" }),
    );
  });

  test("the error says what it must begin with; a branch that others merge into is refused in spite of its name", () => {
    expect(() => checkSessionBranch("main", "ai-", "dev")).toThrow("must begin with ai- (BRANCH_PREFIX)");
    expect(() => checkSessionBranch("ai-", "ai-", "dev")).toThrow("must begin with ai- (BRANCH_PREFIX)");
    expect(() => checkSessionBranch("prompt/a", "prompt/", "prompt/a")).toThrow(
      "must differ from target_branch",
    );
    expect(() => checkSessionBranch("prompt/a", "prompt/", "main")).not.toThrow();
  });
});
