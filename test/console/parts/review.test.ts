import { describe, expect, test } from "bun:test";
import { createElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";
import type { CommentDto, FileDiffDto } from "../../../sdk/src/index.ts";
import { type Place, readFragment, readSearch, toFragment } from "../../../src/console/review/address.ts";
import { asDiff } from "../../../src/console/review/as-diff.ts";
import { notesOf } from "../../../src/console/review/file-notes.ts";
import {
  codeOf,
  type DiffLook,
  lineKey,
  lineOf,
  nodesOf,
  piecesOf,
} from "../../../src/console/review/pieces.ts";
import { promptTitle } from "../../../src/console/review/prompt-title.ts";
import { rowsOf } from "../../../src/console/review/rows.ts";
import { placeOf, threadsByFile } from "../../../src/console/review/threads.ts";
import { Outside } from "../../../src/console/ui/outside.tsx";
import { visible } from "../../../src/console/ui/visible-text.ts";

const [BASE, HEAD, EARLIER] = ["a".repeat(40), "b".repeat(40), "c".repeat(40)];

function fileOf(lines: readonly string[], more: Partial<FileDiffDto> = {}): FileDiffDto {
  const count = (sign: string) =>
    lines.filter((line) => " \\".includes(line[0] ?? "") || line[0] === sign).length;
  const hunk = {
    ...{ old_start: 1, old_lines: count("-"), new_start: 1, new_lines: count("+"), heading: "" },
    lines: [...lines],
  };
  return {
    ...{ path: "a.ts", old_path: null, status: "modified", old_mode: "100644", new_mode: "100644" },
    ...{ additions: 1, deletions: 1, binary: false, too_large: false },
    hunks: lines.length > 0 ? [hunk] : [],
    ...more,
  };
}

describe("addresses of lines", () => {
  test.each<Place>([
    { path: "src/a.ts", side: "new", lines: { from: 10, to: 12 } },
    { path: "src/a.ts", side: "old", lines: { from: 3, to: 3 } },
    { path: "100%20 #ä:L5 of", side: "new", lines: null },
    { path: "a:L1", side: "new", lines: { from: 7, to: 7 } },
  ])("%o is read as it was written", (place) => {
    expect(readFragment(`#${toFragment(place)}`)).toEqual(place);
  });

  test("what is none is refused", () => {
    expect(readFragment("#")).toBeUndefined();
    expect(readFragment("#%E0%A4%A")).toBeUndefined();
    expect(readSearch({ prompt: 1, file: ["a"], at: "main" })).toEqual({});
  });
});

describe("the lines of a diff", () => {
  const textOf = (lines: readonly string[], look: DiffLook) =>
    piecesOf(fileOf(lines), look).map(({ hunk }) => hunk.changes.map((one) => lineKey(lineOf(one))));

  test("side by side, each deleted line stands beside the inserted one in its place", () => {
    const lines = [" 1", "-2", "-3", "+2", "+3", "+4", " 5"];
    expect(textOf(lines, "split")).toEqual([["new:1", "old:2", "new:2", "old:3", "new:3", "new:4", "new:5"]]);
    expect(textOf(lines, "unified")).toEqual([
      ["new:1", "old:2", "old:3", "new:2", "new:3", "new:4", "new:5"],
    ]);
  });

  test("a long hunk is cut, but not between lines that stand beside each other", () => {
    const lines = ["+0", ...Array.from({ length: 60 }, (_, index) => `-${index}`), ...Array(60).fill("+x")];
    const pieces = piecesOf(fileOf(lines), "split");
    expect(pieces.length).toBeGreaterThan(2);
    expect(pieces.flatMap(({ hunk }) => hunk.changes)).toHaveLength(lines.length);
    for (const { hunk } of pieces.slice(1)) expect(hunk.changes[0]?.type).toBe("delete");
    expect(pieces.map(({ heading }) => heading !== null)).toEqual(pieces.map((_, index) => index === 0));
  });

  test("a block of changes that goes on in the next piece is one block", () => {
    const blocks = piecesOf(fileOf([" 1", ...Array(90).fill("+x"), " 2", "-3"]), "unified").flatMap(
      (one) => one.blocks,
    );
    expect(blocks.map(lineKey)).toEqual(["new:2", "old:3"]);
  });

  test("lines are bounded, and nothing in them is unseen", () => {
    const [piece] = piecesOf(
      fileOf([`+${"a".repeat(5_000)}`, "+b\u202ec\u200bd\te", "+f\r", " g\r", "\\ No newline"]),
      "unified",
    );
    const [long, tricky, changed, same] = piece?.hunk.changes.map(({ content }) => content) ?? [];
    expect(long).toBe(`${"a".repeat(1_000)} ⟨4,000 more characters⟩`);
    expect(tricky).toBe("b⟨U+202E⟩c⟨U+200B⟩d\te");
    expect(changed).toBe("f⟨U+000D⟩");
    expect(same).toBe("g ⟨no newline at the end of the file⟩");
    expect(visible("\u2066admin\u2069")).toBe("⟨U+2066⟩admin⟨U+2069⟩");
  });

  test("what is said about a line is not coloured as its code", () => {
    const [piece] = piecesOf(fileOf([`+${"a".repeat(5_000)}`, "\\ No newline", "+1"]), "unified");
    const [cut, one] = piece?.hunk.changes ?? [];
    if (!cut || !one) throw new Error("no lines");
    expect([codeOf(cut), codeOf(one)]).toEqual(["a".repeat(1_000), "1"]);
    const note = " ⟨4,000 more characters⟩ ⟨no newline at the end of the file⟩";
    expect(nodesOf(cut, [["a", "type"]])).toEqual([
      { type: "token", className: "token-type", value: "a" },
      { type: "text", value: note },
    ]);
    expect(nodesOf(cut, undefined)).toEqual([{ type: "text", value: `${"a".repeat(1_000)}${note}` }]);
    expect(nodesOf(one, [["1", "number"]])).toEqual([
      { type: "token", className: "token-number", value: "1" },
    ]);
  });

  test("of a whole file as many lines are shown as a page can be high, and how many are left is known", () => {
    const { file, left } = asDiff("a.txt", "a\nb\n".repeat(300_000));
    expect(piecesOf(file, "unified").reduce((sum, { rows }) => sum + rows, 0)).toBe(500_000);
    expect(left).toBe(100_000);
    expect(asDiff("a.txt", "a\n\nb")).toMatchObject({
      file: { hunks: [{ lines: [" a", " ", " b"] }] },
      left: 0,
    });
    expect(asDiff("a.txt", "").file.hunks).toEqual([]);
  });

  test("of a folded file the header alone is shown", () => {
    const files = [fileOf(["+1"]), fileOf(["+1"], { path: "b.ts" })];
    const pieces = (file: FileDiffDto) => piecesOf(file, "unified");
    const rows = rowsOf(
      files,
      pieces,
      ({ path }) => path === "a.ts",
      () => true,
    );
    expect(rows.map(({ kind, file }) => `${kind} ${file.path}`)).toEqual([
      "header a.ts",
      "header b.ts",
      "about b.ts",
      "piece b.ts",
    ]);
  });
});

describe("what a file is, in words", () => {
  const at = (sign: string, commit: string) => `${sign}Subproject commit ${commit}`;
  const pointer = ["version https://git-lfs.github.com/spec/v1", "oid sha256:0", "size 12345678"];
  test.each<[words: string, file: FileDiffDto]>([
    ["An empty file, added.", fileOf([], { status: "added", old_mode: null })],
    ["An empty file, deleted.", fileOf([], { status: "deleted", new_mode: null })],
    ["A binary file, changed.", fileOf([], { binary: true })],
    [
      "Renamed from ⟨U+202E⟩b. Its content is the same.",
      fileOf([], { status: "renamed", old_path: "\u202eb" }),
    ],
    [
      "It was a file, and is an executable file (100644 → 100755). Its content is the same.",
      fileOf([], { new_mode: "100755" }),
    ],
    [
      "It was a file, and is a symbolic link (100644 → 120000).",
      fileOf(["-a", "+b"], { new_mode: "120000" }),
    ],
    [
      `A submodule, moved from ${"1".repeat(8)} to ${"2".repeat(8)}.`,
      fileOf([at("-", "1".repeat(40)), at("+", "2".repeat(40))], { old_mode: "160000", new_mode: "160000" }),
    ],
    [
      "In Git LFS: 12.3 MB. The lines are its pointer.",
      fileOf(
        pointer.map((line) => `+${line}`),
        { status: "added" },
      ),
    ],
    ["", fileOf(["+1"])],
    ["", fileOf([], { too_large: true })],
  ])("%s", (words, file) => {
    expect(notesOf(file).join(" ")).toBe(words);
  });

  test("a prompt is told by its first words", () => {
    expect(promptTitle({ kind: "agent", data: [{ content: "Fix\n it" }] })).toBe("Fix it");
    expect(promptTitle({ kind: "agent", data: "a".repeat(500) })).toBe(`${"a".repeat(160)} …`);
    expect(promptTitle({ kind: "agent", data: { other: 1 } })).toBe("A prompt without text");
    expect(promptTitle({ kind: "sync", data: null })).toBe("Sync with the target branch");
  });

  test("what a host says is a link leads to the web, or nowhere", () => {
    const link = (href: string) => renderToStaticMarkup(createElement(Outside, { href, children: "it" }));
    expect(link("https://example.com/1")).toContain('href="https://example.com/1"');
    for (const href of ["javascript:alert(1)", " javascript:alert(1)", "data:text/html,x", "/s/1", "//x"])
      expect(link(href)).toBe("<span>it</span>");
  });
});

describe("where comments are shown", () => {
  const comment = (more: Partial<CommentDto>): CommentDto => ({
    ...{ id: crypto.randomUUID(), path: "a.ts", commit: HEAD, side: "new", line: 2, end_line: 2, text: "x" },
    ...{ code: "", status: "open", outdated: false, current: null, prompt_id: null },
    ...{ created_at: "2026-01-31T12:00:00Z", updated_at: "2026-01-31T12:00:00Z" },
    ...more,
  });
  const whole = { base: BASE, head: HEAD, whole: true };
  const moved = comment({ commit: EARLIER, current: { path: "b.ts", line: 5, end_line: 6 } });

  test("at the commits that are compared, or where their lines are today", () => {
    expect(placeOf(comment({}), whole)).toEqual({ path: "a.ts", side: "new", lines: { from: 2, to: 2 } });
    expect(placeOf(moved, whole)).toEqual({ path: "b.ts", side: "new", lines: { from: 5, to: 6 } });
    expect(placeOf(comment({ side: "old" }), whole)).toBeUndefined();
    expect(placeOf(comment({ commit: EARLIER, outdated: true }), whole)).toBeUndefined();
  });

  test("not where today's lines are in the diff of one prompt, which is of another time", () => {
    expect(placeOf(moved, { ...whole, whole: false })).toBeUndefined();
  });

  test("at the last of their lines; over the file, if that is not in the diff", () => {
    const file = fileOf([" 1", "-2", "+2", " 3"], { old_path: "old.ts", status: "renamed" });
    const comments = [
      comment({ line: 1, end_line: 2, text: "range" }),
      comment({ commit: BASE, side: "old", path: "old.ts", line: 2, text: "old" }),
      comment({ line: 99, end_line: 99, text: "far" }),
      comment({ line: null, end_line: null, text: "file" }),
      comment({ path: "other.ts", text: "elsewhere" }),
    ];
    const threads = threadsByFile([file], (one) => piecesOf(one, "split"), { comments, drafts: [] }, whole);
    const texts = (thread?: { comments: CommentDto[] }) => thread?.comments.map(({ text }) => text);
    const found = threads.get("a.ts");
    expect(threads.size).toBe(1);
    expect(texts(found?.byLine.get("new:2"))).toEqual(["range"]);
    expect(texts(found?.byLine.get("old:2"))).toEqual(["old"]);
    expect(texts(found?.file)).toEqual(["far", "file"]);
  });

  test("the lines of a file are looked through once, however many comments there are and keys are pressed", () => {
    const pieces = piecesOf(fileOf(["+1", "+2"]), "unified");
    let read = 0;
    for (const piece of pieces) {
      const { changes } = piece.hunk;
      const get = () => {
        read += 1;
        return changes;
      };
      Object.defineProperty(piece.hunk, "changes", { get });
    }
    const comments = [comment({ line: 1, end_line: 1 }), comment({}), comment({ line: 9, end_line: 9 })];
    const sort = () => threadsByFile([fileOf([])], () => pieces, { comments, drafts: [] }, whole);
    expect([...(sort().get("a.ts")?.byLine.keys() ?? [])]).toEqual(["new:1", "new:2"]);
    expect(sort().get("a.ts")?.file.comments).toHaveLength(1);
    expect(read).toBe(pieces.length);
  });
});
