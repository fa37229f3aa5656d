import { expect, test } from "bun:test";
import { promptText } from "../../src/agents/prompt-text.ts";
import { uiStatusOf } from "../../src/lifecycle/ui-status.ts";
import { checkBranchName, parseRepo } from "../../src/sandboxes/git/repo-url.ts";
import { branchOf, titleOf } from "../../src/sessions/naming.ts";
import { AppError } from "../../src/shared/errors.ts";

const NASTY = [
  "",
  " ",
  "🙂🙂🙂",
  "日本語のタイトル",
  "../../etc",
  "a..b",
  "x.lock",
  "a@{b",
  "-rf /",
  "~^:?*[\\",
  "مرحبا بالعالم",
  "a\u0000b",
  "x".repeat(500),
  "é".repeat(90),
  "/////",
  "HEAD",
  "@",
];

const validForGit = (name: string) =>
  Bun.spawnSync({ cmd: ["git", "check-ref-format", "--branch", name] }).exitCode === 0;

test.each([
  ["Fix the login timeout.\n\nDetails: it fails.", "Fix the login timeout"],
  ["# Heading\ntext", "Heading"],
  ["Please look at https://example.com/a/b?c=d#e", "Please look at example.com/a/b"],
  ["- [ ] **Bold** `code`", "[ ] Bold code"],
  ["", "New session"],
  ["...\n\n!!!", "New session"],
  ["Use v1.2.3 of the library", "Use v1.2.3 of the library"],
] as const)("the title of %p", (prompt, title) => {
  expect(titleOf(prompt)).toBe(title);
});

test("titles are short, of one line and whole graphemes; branches are valid in git, short and unique", () => {
  for (const text of [
    ...NASTY,
    ...NASTY.map((one) => `Do ${one} now, and then do it again until everything is done`),
  ]) {
    const title = titleOf(text);
    expect(title.length).toBeLessThanOrEqual(60);
    expect(title).toBe(title.toWellFormed());
    expect(title).toMatch(/^\P{C}+$/u);
    const branch = branchOf(title, "prompt/");
    expect({ branch, valid: validForGit(branch), short: branch.length <= 60 }).toEqual({
      branch,
      valid: true,
      short: true,
    });
    expect(branchOf(title, "prompt/")).not.toBe(branch);
  }
});

test("branch names are accepted exactly when git accepts them", () => {
  const parts = ["a", "b.lock", ".x", "..", "@", "@{", "-", "/", "~", " ", "x", ".", "*", "é", "HEAD"];
  const names = new Set([
    "",
    ...parts,
    ...parts.flatMap((one) => parts.flatMap((two) => [one + two, `${one}/${two}`, `a${one}${two}b`])),
  ]);
  for (const name of names) {
    const ours = (() => {
      try {
        checkBranchName(name);
        return true;
      } catch (error) {
        expect(error).toBeInstanceOf(AppError);
        return false;
      }
    })();
    // To --branch these are names for another branch; here they are no names.
    const shorthand = ["-", "@"].includes(name);
    expect({ name, valid: ours }).toEqual({ name, valid: name !== "" && !shorthand && validForGit(name) });
  }
});

const RULES = {
  githubUrl: "https://github.com",
  forges: [],
  local: { roots: ["/srv"], dataDir: "/srv/data" },
};

test.each([
  ["owner/name", { url: "https://github.com/owner/name.git", kind: "remote" }],
  ["owner/name.git", { url: "https://github.com/owner/name.git", kind: "remote" }],
  ["https://github.com/owner/name", { url: "https://github.com/owner/name", kind: "remote" }],
  ["https://git.example.com/a/b/c.git", { url: "https://git.example.com/a/b/c.git", kind: "remote" }],
  ["/srv/repo", { url: "/srv/repo", kind: "local" }],
  ["file:///srv/my%20repo", { url: "/srv/my repo", kind: "local" }],
] as const)("the repository %p", (text, address) => {
  expect(parseRepo(text, RULES)).toMatchObject(address);
});

test.each([
  "",
  "owner",
  "owner/..",
  "owner/.git",
  "-x/y",
  "--upload-pack=x",
  "ext::sh -c id",
  "ssh://h/x",
  "git@h:o/n",
  "https://u:p@h/o",
  "http://h/o",
  "https://h",
  "https://h/o?x",
  "a b",
  "a\nb",
  "../x",
])("the repository %p is refused", (text) => {
  expect(() => parseRepo(text, RULES)).toThrow(AppError);
});

test("paths are only accepted in local modes", () => {
  for (const text of ["/srv/repo", "file:///srv/repo"])
    expect(() => parseRepo(text, { ...RULES, local: undefined })).toThrow(/paths of this machine/);
});

test.each([
  ["plain", "plain"],
  [{ content: "a" }, "a"],
  [{ prompt: "a" }, "a"],
  [{ text: "a" }, "a"],
  [{ message: "a" }, "a"],
  [[{ content: "a" }, { content: "b", type: "text" }], "a\n\nb"],
  [
    [
      {
        role: "user",
        content: [
          { type: "text", text: "a" },
          { type: "text", text: "b" },
        ],
      },
    ],
    "a\n\nb",
  ],
  [{ content: "" }, ""],
  [null, ""],
  [7, ""],
] as const)("the text of %j", (data, text) => {
  expect(promptText(data)).toBe(text);
});

test("uiStatus is derived from the two stored statuses and the sandbox", () => {
  const of = (
    sessionStatus: "Active" | "Completed" | "Failed",
    inboxStatus: "Pending" | "Processing" | "Completed" | "Failed" | "Cancelled",
    held: boolean,
  ) => uiStatusOf({ sessionStatus, inboxStatus, sbxConfig: held ? {} : null });
  expect(of("Completed", "Processing", true)).toBe("Archived");
  expect(of("Active", "Pending", true)).toBe("Pending");
  expect(of("Active", "Processing", true)).toBe("InProgress");
  for (const inbox of ["Completed", "Failed", "Cancelled"] as const) {
    expect(of("Active", inbox, true)).toBe("NeedsReview");
    expect(of("Failed", inbox, false)).toBe("NeedsReviewIpReturned");
  }
});

// Four hostile lines of 64 KB took 12 seconds of the event loop: the expressions take the square of what they are given.
test.each(["[", "[x](", "!", "`", "\r", "x?", "http://"])(
  "a long prompt of %j costs no more than a short one",
  (unit) => {
    const cost = (length: number) => {
      const text = `${unit.repeat(Math.ceil(length / unit.length))}x`;
      const started = performance.now();
      for (let n = 0; n < 5; n += 1) titleOf(text);
      return performance.now() - started;
    };
    cost(1_000);
    // Quadratic, it would be some thousand times as much.
    expect(cost(64_000)).toBeLessThan(100 * cost(1_000) + 100);
  },
);
