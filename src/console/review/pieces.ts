import { type ChangeData, getChangeKey, type HunkData, type TokenNode } from "react-diff-view";
import type { CommentSide, FileDiffDto } from "../../../sdk/src/index.ts";
import type { Token } from "../highlight/tokens.ts";
import { visible } from "../ui/visible-text.ts";

export type DiffLook = "split" | "unified";

/** A line of a diff. Its `content` ends with `note`, which is said about the line and is no code. */
export type Change = ChangeData & { note: string };

/** A part of a hunk, small enough to be drawn at once. */
export interface Piece {
  /** Unique in its file. */
  key: string;
  /** Over the first one of a hunk. */
  heading: string | null;
  hunk: Omit<HunkData, "changes"> & { changes: Change[] };
  /** The blocks of changes that begin in it: the first line of each. */
  blocks: readonly LineOf[];
  /** Lines on the screen, unless some are wrapped. */
  rows: number;
}

export interface LineOf {
  side: CommentSide;
  line: number;
}

/** Lines of a piece. */
const PIECE = 40;
/** Characters of a line: minified files have lines of megabytes. */
const MAX_LINE = 1_000;
const NO_NEWLINE = " ⟨no newline at the end of the file⟩";

/** Where comments on a change belong: `new:12`. A line that has not changed is the new side's. */
export const lineOf = (change: ChangeData): LineOf =>
  change.type === "normal"
    ? { side: "new", line: change.newLineNumber }
    : { side: change.type === "delete" ? "old" : "new", line: change.lineNumber };

/** What is highlighted of a line. */
export const codeOf = ({ content, note }: Change): string => content.slice(0, content.length - note.length);

/** A line in the colours of its code. @param tokens of `codeOf` */
export function nodesOf({ content, note }: Change, tokens: readonly Token[] | undefined): TokenNode[] {
  if (!tokens) return [{ type: "text", value: content }];
  const nodes = tokens.map(
    ([value, kind]): TokenNode =>
      kind ? { type: "token", className: `token-${kind}`, value } : { type: "text", value },
  );
  return note === "" ? nodes : [...nodes, { type: "text", value: note }];
}

export const lineKey = ({ side, line }: LineOf): string => `${side}:${line}`;

/** The lines of a file's diff, in pieces. */
export function piecesOf({ hunks }: Pick<FileDiffDto, "hunks">, look: DiffLook): Piece[] {
  return hunks.flatMap((hunk, index) => {
    const natural = changesOf(hunk);
    const all = look === "split" ? paired(natural) : natural;
    const pieces: Piece[] = [];
    for (let start = 0; start < all.length; ) {
      let end = Math.min(start + PIECE, all.length);
      // What stands side by side stays together.
      if (all[end]?.type === "insert" && all[end - 1]?.type === "delete") end += 1;
      const changes = all.slice(start, end);
      const { old_start: oldStart, old_lines: oldLines, new_start: newStart, new_lines: newLines } = hunk;
      const content = `@@ -${oldStart},${oldLines} +${newStart},${newLines} @@`;
      pieces.push({
        key: `${index}.${start}`,
        heading: start === 0 ? `${content} ${shown(hunk.heading).content}`.trim() : null,
        hunk: { content, oldStart, oldLines, newStart, newLines, changes },
        blocks: changes
          .filter((one, at) => one.type !== "normal" && (all[start + at - 1]?.type ?? "normal") === "normal")
          .map(lineOf),
        rows:
          look === "split" ? changes.filter((one, at) => !isSecond(changes, one, at)).length : changes.length,
      });
      start = end;
    }
    return pieces;
  });
}

const isSecond = (changes: readonly ChangeData[], one: ChangeData, at: number) =>
  one.type === "insert" && changes[at - 1]?.type === "delete";

function changesOf(hunk: FileDiffDto["hunks"][number]): Change[] {
  const changes: Change[] = [];
  let { old_start: oldLine, new_start: newLine } = hunk;
  for (const text of hunk.lines) {
    const line = shown(text.slice(1), text[0] !== " ");
    if (text[0] === "+") changes.push({ type: "insert", isInsert: true, lineNumber: newLine++, ...line });
    else if (text[0] === "-")
      changes.push({ type: "delete", isDelete: true, lineNumber: oldLine++, ...line });
    else if (text[0] === "\\") {
      const last = changes.at(-1);
      if (!last) continue;
      last.content += NO_NEWLINE;
      last.note += NO_NEWLINE;
    } else
      changes.push({
        ...{ type: "normal", isNormal: true, ...line },
        ...{ oldLineNumber: oldLine++, newLineNumber: newLine++ },
      });
  }
  return changes;
}

/** A line as it may be shown: bounded, and nothing of it unseen. @param changed whether its end of line matters */
function shown(line: string, changed = false): { content: string; note: string } {
  const text = line.endsWith("\r") && !changed ? line.slice(0, -1) : line;
  if (text.length <= MAX_LINE) return { content: visible(text), note: "" };
  const note = ` ⟨${(text.length - MAX_LINE).toLocaleString("en")} more characters⟩`;
  return { content: visible(text.slice(0, MAX_LINE)) + note, note };
}

/** Puts each deleted line before the inserted one that stands beside it. */
function paired(changes: readonly Change[]): Change[] {
  const result: Change[] = [];
  for (let at = 0; at < changes.length; ) {
    const from = at;
    while (changes[at]?.type === "delete") at += 1;
    const deleted = changes.slice(from, at);
    const middle = at;
    while (changes[at]?.type === "insert") at += 1;
    const inserted = changes.slice(middle, at);
    for (let row = 0; row < Math.max(deleted.length, inserted.length); row += 1)
      result.push(...[deleted[row], inserted[row]].filter((one) => one !== undefined));
    const next = changes[at];
    if (next?.type === "normal") {
      result.push(next);
      at += 1;
    }
  }
  return result;
}

/** What react-diff-view calls the change at a line. */
export const keysByLine = (piece: Piece): Map<string, string> =>
  new Map(piece.hunk.changes.map((change) => [lineKey(lineOf(change)), getChangeKey(change)]));
