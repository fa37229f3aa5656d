import { expect, test } from "bun:test";
import { repoName } from "../../../src/console/ui/repo-name.ts";
import { waitText } from "../../../src/console/ui/waiting.ts";

test("a repository is named as people know it", () => {
  const names = {
    "https://github.com/acme/shop.git": "github.com/acme/shop",
    "https://robot:secret@git.example.com/acme/shop": "git.example.com/acme/shop",
    "git@github.com:acme/shop.git": "git@github.com:acme/shop",
    "/srv/data/example": "example",
    "/srv/data/example.git/": "example",
    "file:///srv/data/example": "example",
  };
  for (const [repo, name] of Object.entries(names)) expect(repoName(repo)).toBe(name);
});

test("what a prompt waits for is said in words, and what this page does not know yet as it comes", () => {
  expect(waitText("git_host")).toBe("the git host");
  expect(waitText("weather" as never)).toBe("weather");
});
