import { expect, setDefaultTimeout, test } from "bun:test";
import type { FileDiff } from "../../../src/sandboxes/git/diff-output.ts";
import { makeRepository, type TestRepository } from "../../harness/repository.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { describeSandboxes, type SandboxSetup } from "../describe-sandboxes.ts";
import { never, pushRecord } from "../fixture.ts";
import { commitStates, history, type State } from "./histories.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const ALL = { files: 20_000, fileBytes: 512 * 1024, allBytes: 8 * 1024 * 1024 };

/** The session's branch, fetched, and what reads it. */
async function opened({ fixture }: SandboxSetup, repo: TestRepository, branch: string) {
  const head = (await repo.git("rev-parse", branch)).trim();
  const request = fixture.request(repo.path, { branch, pushes: pushRecord(head) });
  const { fetch, read } = fixture.provider.repositoryFor(request);
  const { start, base } = await fetch(request, never);
  expect(start).toBe(head);
  const parted = await read.parted(request.sessionId, { target: base, head }, never);
  return { read, request, head, target: base, base: parted.base };
}

/** What git diff says of each file, from its first hunk on. A file whose type changed has two parts. */
async function hunksOf(
  repo: TestRepository,
  from: string,
  to: string,
  files: readonly FileDiff[],
): Promise<string[]> {
  // No line of a file begins like this: each has a sign before it.
  const [, ...parts] = (await repo.git("diff", "-M", from, to)).split(/^diff --git /m);
  const hunks = parts.map((part) => /^@@ .*/ms.exec(part)?.[0] ?? "");
  const found = files.map((one) => hunks.splice(0, one.status === "type_changed" ? 2 : 1).join(""));
  expect(hunks).toEqual([]);
  return found;
}

const textOf = ({ hunks }: FileDiff) =>
  hunks
    .map((one) => {
      const range = (start: number, lines: number) => (lines === 1 ? `${start}` : `${start},${lines}`);
      const heading = one.heading === "" ? "" : ` ${one.heading}`;
      const head = `@@ -${range(one.oldStart, one.oldLines)} +${range(one.newStart, one.newLines)} @@${heading}`;
      return `${[head, ...one.lines].join("\n")}\n`;
    })
    .join("");

await describeSandboxes((setup) => {
  test("40 histories have the hunks that git diff has, and their patch makes the one state of the other", async () => {
    const repo = await makeRepository();
    const states = Array.from({ length: 40 }, (_, index) => history(index + 1));
    await commitStates(
      repo,
      states.flatMap(({ before, after }) => [
        { branch: "prompt/h", state: before },
        { branch: "prompt/h", state: after },
      ]),
    );
    const { read } = await opened(setup(), repo, "prompt/h");
    const commits = (await repo.git("rev-list", "--reverse", "prompt/h")).trim().split("\n");
    const kinds = new Set<string>();
    for (let index = 0; index < commits.length; index += 2) {
      const [from = "", to = ""] = commits.slice(index, index + 2);
      const diff = await read.diff({ from, to, context: 3 }, ALL, never);
      expect(diff.truncated).toBe(false);
      const numbers = (await repo.git("diff", "-M", "--numstat", from, to))
        .trim()
        .split("\n")
        .filter(Boolean);
      expect(diff.files.map((one) => (one.binary ? "- -" : `${one.additions} ${one.deletions}`))).toEqual(
        numbers.map((line) => line.split("\t").slice(0, 2).join(" ")),
      );
      const expected = await hunksOf(repo, from, to, diff.files);
      expect(diff.files.map(textOf)).toEqual(expected);
      for (const one of diff.files) kinds.add(one.binary ? "binary" : one.status);
      const patch = await read.patch({ from, to, context: 3 }, 64 * 1024 * 1024, never);
      await Bun.write(`${repo.path}/.git/patch`, patch ?? "");
      await repo.git("read-tree", from);
      if (patch?.length) await repo.git("apply", "--cached", ".git/patch");
      expect(await repo.git("write-tree")).toBe(await repo.git("rev-parse", `${to}^{tree}`));
    }
    expect([...kinds].sort()).toEqual(["added", "binary", "deleted", "modified", "renamed", "type_changed"]);
    await repo.remove();
  });

  test("10,000 changed files and one of 100 MB: the hunks that git diff has, as far as they are kept, and the rest is marked", async () => {
    const repo = await makeRepository();
    const many = (mark: string): State =>
      new Map(
        Array.from({ length: 10_000 }, (_, index) => [
          `src/${index}.ts`,
          { mode: "100644", content: Buffer.from(`${index}\n${mark}\n`) },
        ]),
      );
    const large = { mode: "100644", content: Buffer.alloc(100 * 1024 * 1024, "a long file\n") };
    const long = { mode: "100644", content: Buffer.from("x\n".repeat(400_000)) };
    await commitStates(repo, [
      { branch: "main", state: many("old") },
      { branch: "prompt/many", state: new Map([...many("new"), ["a/large", large], ["a/long", long]]) },
    ]);
    const { read, base, head } = await opened(setup(), repo, "prompt/many");
    const limits = { ...ALL, allBytes: 100_000 };
    const diff = await read.diff({ from: base, to: head, context: 3 }, limits, never);
    expect(diff).toMatchObject({ truncated: true, additions: 410_000, deletions: 10_000 });
    expect(diff.files).toHaveLength(10_002);
    // git itself takes it for binary, above core.bigFileThreshold.
    expect(diff.files[0]).toMatchObject({ path: "a/large", binary: true, hunks: [] });
    expect(diff.files[1]).toMatchObject({ path: "a/long", tooLarge: true, hunks: [], additions: 400_000 });
    const kept = diff.files.slice(2).filter((one) => !one.tooLarge);
    expect(kept.length).toBeGreaterThan(1_000);
    for (const one of kept) {
      const index = /\d+/.exec(one.path)?.[0];
      expect(textOf(one)).toBe(`@@ -1,2 +1,2 @@\n ${index}\n-old\n+new\n`);
    }
    await repo.remove();
  });

  test("files with the same content under another name are renamed; one that cannot be merged is named", async () => {
    const repo = await makeRepository();
    const one = (text: string) => ({ mode: "100644", content: Buffer.from(text) });
    await commitStates(repo, [
      { branch: "prompt/c", state: new Map([["caf\xe9", one("a\n")]]) },
      { branch: "prompt/c", state: new Map([["caf\xe9", one("b\n")]]) },
    ]);
    await repo.git("update-ref", "refs/heads/main", "prompt/c~1");
    await commitStates(repo, [
      { branch: "main", state: new Map([["caf\xe9", one("a\n")]]) },
      {
        branch: "main",
        state: new Map([
          ["caf\xe9", one("c\n")],
          ["other", one("x\n")],
        ]),
      },
    ]);
    const { read, target, head } = await opened(setup(), repo, "prompt/c");
    expect(await read.conflicts(target, head, never)).toEqual(['"caf\\351"']);
    expect(await read.conflicts(target, target, never)).toEqual([]);
    await repo.remove();
  });
});
