import { describe, expect, test } from "bun:test";
import { checkBranchName, checkSessionBranch, parseRepo } from "../../../src/sandboxes/git/repo-url.ts";

const github = { githubUrl: "https://github.com", local: undefined };
const local = { ...github, local: { roots: ["/srv"], dataDir: "/srv/data" } };

describe("parseRepo", () => {
  test("owner/name", () => {
    const url = "https://github.com/octo/hello.git";
    expect(parseRepo("octo/hello", github)).toMatchObject({ url, kind: "github" });
    expect(parseRepo("octo/hello.git", github)).toMatchObject({ url, kind: "github" });
    expect(parseRepo("o_corp/a.b-c_d", github).kind).toBe("github");
  });

  test("https, paths, loopback", () => {
    expect(parseRepo("https://example.com/a/b.git", github).kind).toBe("https");
    expect(parseRepo("https://github.com/a/b", github).kind).toBe("github");
    expect(parseRepo("/srv/repo", local)).toEqual({ url: "/srv/repo", display: "/srv/repo", kind: "local" });
    expect(parseRepo("file:///srv/my%20repo", local).url).toBe("/srv/my repo");
    expect(parseRepo("http://127.0.0.1:3000/a", local).kind).toBe("https");
  });

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
