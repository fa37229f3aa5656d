import { describe, expect, test } from "bun:test";
import type { ForgeHost } from "../../src/config/forge-hosts.ts";
import { openForges } from "../../src/forges/open-forges.ts";

const host = (url: string): ForgeHost => ({
  kind: "github",
  url,
  apiUrl: `${url}/api/v3`,
  credential: undefined,
  setting: "FORGES",
});
const { forgeOf } = openForges([
  host("https://github.com"),
  host("https://git.example"),
  host("https://git.example/forge"),
  host("http://git.example:8080"),
]);
const found = (url: string) => {
  const one = forgeOf(url);
  return one && [one.forge.host.url, one.repository.path];
};

describe("the forge of a repository", () => {
  test.each([
    ["https://github.com/acme/shop", "https://github.com", "acme/shop"],
    ["https://github.com/acme/shop.git", "https://github.com", "acme/shop"],
    ["https://github.com/acme/shop/", "https://github.com", "acme/shop"],
    ["https://GitHub.com:443/Acme/shop.js", "https://github.com", "Acme/shop.js"],
    ["https://github.com/acme/.github", "https://github.com", "acme/.github"],
    ["https://git.example/acme/shop", "https://git.example", "acme/shop"],
    ["https://git.example/forge/acme/shop", "https://git.example/forge", "acme/shop"],
    ["http://git.example:8080/acme/shop", "http://git.example:8080", "acme/shop"],
  ])("%s", (url, forge, path) => {
    expect(found(url)).toEqual([forge, path]);
  });

  test.each([
    "https://github.com.evil.example/acme/shop",
    "https://evil.example/github.com/acme/shop",
    "https://github.com@evil.example/acme/shop",
    "https://api.github.com/acme/shop",
    "http://github.com/acme/shop",
    "https://github.com:8443/acme/shop",
    "ssh://git@github.com/acme/shop",
    "git@github.com:acme/shop.git",
    "https://user:password@github.com/acme/shop",
    "https://github.com/acme",
    "https://github.com/acme/shop/pulls",
    "https://github.com/acme/shop?x=1",
    "https://github.com/acme/shop#x",
    "https://github.com/acme/..",
    "https://github.com/acme/%2e%2e%2fother",
    "https://github.com/acme/...",
    "https://github.com/-acme/shop",
    "https://github.com//acme/shop",
    `https://github.com/acme/${"x".repeat(300)}`,
    `https://github.com/acme/shop${"/".repeat(3_000)}`,
    "https://git.example/forgery/acme/shop",
    "/srv/git/shop",
    "",
  ])("is not guessed: %s", (url) => {
    expect(found(url)).toBeUndefined();
  });
});
