import { afterAll, expect, test } from "bun:test";
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import {
  type Change,
  type ChangedFile,
  fileAfter,
  type Place,
  placeAfter,
} from "../../src/comments/position.ts";

const folder = mkdtempSync(join(tmpdir(), "pb-position-"));
afterAll(() => rm(folder, { recursive: true, force: true }));

/** The changes between two files, as the git of this machine finds them. */
async function changesBetween(before: string, after: string): Promise<Change[]> {
  const [a, b] = [join(folder, "a"), join(folder, "b")];
  await Promise.all([Bun.write(a, before), Bun.write(b, after)]);
  const child = Bun.spawn(["git", "diff", "--no-index", "--no-color", "--unified=0", "--text", a, b], {
    env: { PATH: process.env["PATH"] ?? "", GIT_CONFIG_NOSYSTEM: "1", GIT_CONFIG_GLOBAL: "/dev/null" },
    stderr: "inherit",
  });
  const text = await child.stdout.text();
  expect(await child.exited).toBeLessThanOrEqual(1);
  return [...text.matchAll(/^@@ -(\d+)(?:,(\d+))? \+\d+(?:,(\d+))? @@/gm)].map((header) => ({
    old_start: Number(header[1]),
    old_lines: Number(header[2] ?? 1),
    new_lines: Number(header[3] ?? 1),
  }));
}

const file = (more: Partial<ChangedFile>): ChangedFile => ({
  path: "a",
  old_path: null,
  status: "modified",
  binary: false,
  too_large: false,
  hunks: [],
  ...more,
});
const place = (path: string, lines: Place["lines"] = null) => ({ path, lines });
const at = (line: number, endLine = line) => ({ line, endLine });

/** Where lines are after changes of their file. */
const moveLines = (hunks: Change[], lines: Place["lines"]) =>
  placeAfter(file({ hunks }), place("a", lines))?.lines ?? null;

test("lines move with what is inserted and deleted before them, and with nothing else", () => {
  const inserted = [{ old_start: 3, old_lines: 0, new_lines: 2 }];
  expect(moveLines(inserted, at(3))).toEqual(at(3));
  expect(moveLines(inserted, at(4))).toEqual(at(6));
  const deleted = [{ old_start: 3, old_lines: 2, new_lines: 0 }];
  expect(moveLines(deleted, at(2))).toEqual(at(2));
  expect(moveLines(deleted, at(5, 9))).toEqual(at(3, 7));
  const atTheTop = [{ old_start: 0, old_lines: 0, new_lines: 5 }];
  expect(moveLines(atTheTop, at(1))).toEqual(at(6));
  expect(moveLines([], at(7, 8))).toEqual(at(7, 8));
});

test("lines are outdated when one of them was changed or deleted, or something is between them", () => {
  const changed = [{ old_start: 3, old_lines: 2, new_lines: 2 }];
  for (const lines of [at(3), at(4), at(1, 3), at(4, 9), at(1, 9)])
    expect(moveLines(changed, lines)).toBeNull();
  const inserted = [{ old_start: 3, old_lines: 0, new_lines: 1 }];
  expect(moveLines(inserted, at(3, 4))).toBeNull();
  expect(moveLines(inserted, at(2, 3))).toEqual(at(2, 3));
  expect(moveLines(inserted, at(4, 5))).toEqual(at(5, 6));
});

/** Few different lines, so that what is inserted is like what is there. */
const line = fc.constantFrom("", "a", "b", "  a", "}", "a\r");
const edit = fc.record({ at: fc.nat(40), removed: fc.nat(4), inserted: fc.array(line, { maxLength: 4 }) });

test("git and this agree: a line that git keeps has the same text where it is found, and no other is found", async () => {
  let moved = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(line, { maxLength: 40 }),
      fc.array(edit, { minLength: 1, maxLength: 5 }),
      fc.boolean(),
      fc.boolean(),
      async (before, edits, endsBefore, endsAfter) => {
        const after: string[] = [...before];
        for (const { at: where, removed, inserted } of edits)
          after.splice(where % (after.length + 1), removed, ...inserted);
        const textOf = (lines: string[], ends: boolean) =>
          lines.join("\n") + (ends && lines.length > 0 ? "\n" : "");
        const changes = await changesBetween(textOf(before, endsBefore), textOf(after, endsAfter));
        const old = countedAsGit(before, endsBefore);
        const places = old.map((_, index) => moveLines(changes, at(index + 1))?.line);
        for (const [index, place] of places.entries())
          if (place !== undefined) expect(after[place - 1]).toBe(String(old[index]));
        const kept = places.filter((place) => place !== undefined);
        expect(kept).toEqual([...new Set(kept)].sort((a, b) => a - b));
        const gone = changes.reduce((sum, { old_lines }) => sum + old_lines, 0);
        expect(kept.length).toBe(old.length - gone);
        for (let first = 1; first <= old.length; first += 1)
          for (let last = first; last <= old.length; last += 1) {
            const [begin, ...rest] = places.slice(first - 1, last);
            const together = begin !== undefined && rest.every((place, index) => place === begin + index + 1);
            expect(moveLines(changes, at(first, last))).toEqual(
              together ? at(begin, begin + rest.length) : null,
            );
          }
        moved += places.filter((place, index) => place !== undefined && place !== index + 1).length;
      },
    ),
    { numRuns: 300 },
  );
  expect(moved).toBeGreaterThan(300);
}, 120_000);

/** An empty last line without a line end is no line. */
const countedAsGit = (lines: string[], ends: boolean) =>
  !ends && lines.at(-1) === "" ? lines.slice(0, -1) : lines;

test("a comment follows its file under another name, and is outdated when the file is gone", () => {
  const hunks = [{ old_start: 1, old_lines: 0, new_lines: 1 }];
  const renamed = file({ path: "b", old_path: "a", status: "renamed", hunks });
  expect(placeAfter(renamed, place("a"))).toEqual(place("b"));
  expect(placeAfter(renamed, place("a", at(2)))).toEqual(place("b", at(3)));
  for (const lines of [null, at(1)])
    expect(placeAfter(file({ status: "deleted" }), place("a", lines))).toBeNull();
  const binary = file({ binary: true });
  expect(placeAfter(binary, place("a", at(1)))).toBeNull();
  expect(placeAfter(binary, place("a"))).toEqual(place("a"));
});

test("a file of the same name that is new is another file", () => {
  const renamed = file({ path: "b", old_path: "a", status: "renamed" });
  const added = file({ status: "added" });
  expect(fileAfter([added, renamed], "a")).toBe(renamed);
  expect(fileAfter([added], "a")).toBeUndefined();
});
