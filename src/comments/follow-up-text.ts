import type { CommentSide } from "../db/columns.ts";
import { AppError } from "../shared/errors.ts";

/** A comment as a prompt quotes it. */
export interface QuotedComment {
  path: string;
  commit: string;
  side: CommentSide;
  /** Null: it is about the whole file. */
  line: number | null;
  endLine: number | null;
  text: string;
  code: string;
}

const DEFAULT_INTRODUCTION = "Address these review comments.";
/** Characters of the longest prompt. */
const MAX_LENGTH = 200_000;
/** Characters of a commit's id that tell it apart. */
const SHORT_COMMIT = 12;

/**
 * Comments as one prompt, in the order of their files and lines.
 * @param introduction what the prompt begins with. @throws AppError `too_large`
 */
export function followUpText(
  comments: readonly QuotedComment[],
  introduction: string = DEFAULT_INTRODUCTION,
): string {
  const sections = comments.toSorted(byPlace).map(sectionOf);
  const text = [introduction.trim(), ...sections].join("\n\n");
  if (text.length <= MAX_LENGTH) return text;
  throw new AppError(
    "too_large",
    `The comments make a prompt of ${text.length} characters, of ${MAX_LENGTH} at most. Send fewer of them at once: name them in comment_ids.`,
  );
}

function byPlace(a: QuotedComment, b: QuotedComment): number {
  if (a.path !== b.path) return a.path < b.path ? -1 : 1;
  return (a.line ?? 0) - (b.line ?? 0) || (a.endLine ?? 0) - (b.endLine ?? 0);
}

function sectionOf(comment: QuotedComment, index: number): string {
  const heading = `## ${index + 1}. ${shownPath(comment.path)}${linesOf(comment)} (${sideOf(comment)})`;
  return [heading, ...(comment.line === null ? [] : [fenced(comment.code)]), comment.text.trim()].join(
    "\n\n",
  );
}

function linesOf({ line, endLine }: QuotedComment): string {
  if (line === null) return "";
  return endLine === null || endLine === line ? `, line ${line}` : `, lines ${line} to ${endLine}`;
}

const sideOf = ({ side, commit }: QuotedComment) =>
  `${side === "old" ? "old side of the diff: as it was before the work" : "new side of the diff"}, commit ${commit.slice(0, SHORT_COMMIT)}`;

/** In a fence that the code cannot end. */
function fenced(code: string): string {
  const runs = code.match(/`+/g) ?? [];
  const fence = "`".repeat(Math.max(3, ...runs.map((run) => run.length + 1)));
  return `${fence}\n${code}\n${fence}`;
}

/** Characters that begin a new line, are not seen, or turn the text around. */
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}]/gu;

/** A path on one line. Whoever made the repository chose it; one that git itself quotes is shown as git does. */
function shownPath(path: string): string {
  const text =
    /^[\p{L}\p{M}\p{N} ._\-/@+~=,()[\]]+$/u.test(path) || path.startsWith('"') ? path : JSON.stringify(path);
  return text.replace(UNSEEN, (one) => `\\u{${one.codePointAt(0)?.toString(16)}}`);
}
