import { describe, expect, test } from "bun:test";
import type { ForgeHost } from "../../../src/config/forge-hosts.ts";
import { parseRepo, type RepoRules } from "../../../src/sandboxes/git/repo-url.ts";
import { submodulePlace } from "../../../src/sandboxes/git/submodule-url.ts";

const host = (url: string): ForgeHost => ({
  ...{ kind: "gitea", url, apiUrl: `${url}/api/v1`, credential: undefined, setting: "FORGES" },
});
const RULES: RepoRules = {
  githubUrl: "https://github.com",
  forges: [host("https://github.com"), host("https://git.example")],
  local: undefined,
};
const LOCAL: RepoRules = { ...RULES, local: { roots: ["/tmp"], dataDir: "/tmp/data" } };
const placeOf = (url: string, parent = "octo/hello", rules = RULES) => {
  const place = submodulePlace(url, parseRepo(parent, rules), rules);
  return "refusal" in place ? place.refusal : place.address.url;
};

describe("where a submodule is", () => {
  test.each([
    ["../lib.git", "https://github.com/octo/lib.git"],
    ["../../other/lib", "https://github.com/other/lib"],
    ["./sub", "https://github.com/octo/hello.git/sub"],
    ["https://git.example/a/b.git", "https://git.example/a/b.git"],
    ["git@github.com:octo/lib.git", "https://github.com/octo/lib.git"],
    ["ssh://git@git.example:2222/a/b.git", "https://git.example/a/b.git"],
  ])("%s is %s", (url, expected) => expect(placeOf(url)).toBe(expected));

  test("a host that the configuration does not know is known if it is the repository's own", () => {
    expect(placeOf("../b", "https://own.example/a/main")).toBe("https://own.example/a/b");
    expect(placeOf("git@own.example:a/b", "https://own.example/a/main")).toBe("https://own.example/a/b");
    expect(placeOf("https://own.example/a/b")).toStartWith("its host own.example is neither");
  });

  test.each([
    ["../../../lib", "its URL leads out of the host of the repository"],
    ["https://other.example/a/b", "its host other.example is neither the repository's own nor one of FORGES"],
    ["git@other.example:a/b", "its host other.example is neither"],
    ["https://git.example:8443/a/b", "its host git.example:8443 is neither"],
    ["http://git.example/a/b", "its URL is not one that the service may follow"],
    ["http://169.254.169.254/latest", "its URL is not one that the service may follow"],
    ["https://user:secret@git.example/a/b", "its URL is not one that the service may follow"],
    ["https://git.example/a/../../b", "its URL is not one that the service may follow"],
    ["ext::sh -c touch% /tmp/x", "its URL is not an https URL"],
    ["octo/lib", "its URL is not an https URL"],
    ["-u./payload", "its URL is not an https URL"],
    ["file:///etc", "its URL is not an https URL"],
    ["/etc", "its URL is a path of the machine that runs the service"],
  ])("%j is not followed", (url, refusal) => expect(placeOf(url)).toStartWith(refusal));

  test("only a repository of this machine has submodules that are, below LOCAL_REPOSITORIES", () => {
    expect(placeOf("../lib", "/tmp/x/main", LOCAL)).toBe("/tmp/x/lib");
    expect(placeOf("/tmp/x/lib", "/tmp/x/main", LOCAL)).toBe("/tmp/x/lib");
    expect(placeOf("/etc", "/tmp/x/main", LOCAL)).toBe("its URL is not one that the service may follow");
    expect(placeOf("/tmp/x/lib", "octo/hello", LOCAL)).toStartWith("its URL is a path of the machine");
    expect(placeOf("file:///tmp/x/lib", "octo/hello", LOCAL)).toBe("its URL is not an https URL");
    expect(placeOf("http://127.0.0.1:1/a/b", "octo/hello", LOCAL)).toStartWith("its host 127.0.0.1:1 is");
  });
});
