import type { Reviews, Work } from "../review/reviews.ts";
import { AppError } from "../shared/errors.ts";
import type { LineRange, Place } from "./position.ts";

/** Characters of the lines that a comment keeps. */
const MAX_CODE = 4_000;

/**
 * Reads the lines that a comment is about. @returns as much of them as it keeps; "" for a file.
 * @throws AppError `commit_not_found`, `file_not_found`; `invalid`: the file has no such lines.
 */
export async function quoteCode(
  reviews: Pick<Reviews, "commitOf" | "show">,
  work: Work,
  { commit, path, lines }: Place & { commit: string },
): Promise<string> {
  await reviews.commitOf(work, commit, "commit");
  const { line, endLine } = lines ?? { line: 1, endLine: 1 };
  const shown = await reviews.show(work, { commit, path, lines: [line, endLine] });
  if (shown.type === "directory") throw new AppError("invalid", "path: this is a folder; name a file of it.");
  if (lines === null) return "";
  const text = shown.type === "file" ? Buffer.from(shown.bytes).toString("utf8") : "";
  const found = text.split("\n").length - (text === "" || text.endsWith("\n") ? 1 : 0);
  if (found < endLine - line + 1)
    throw new AppError(
      "invalid",
      `${found === 0 ? "line" : "end_line"}: the file ends before, in the commit ${commit}.`,
    );
  return boundedCode(text.replace(/\n$/, "").replaceAll("\0", "\ufffd"));
}

/** The lines that a request names; null: none. @throws AppError `invalid` */
export function linesIn({ line, end_line }: { line?: number; end_line?: number }): LineRange | null {
  if (line === undefined && end_line !== undefined)
    throw new AppError("invalid", "end_line: needs `line`, the first of the lines.");
  const endLine = end_line ?? line;
  if (line === undefined || endLine === undefined) return null;
  if (endLine < line) throw new AppError("invalid", "end_line: must not be less than `line`.");
  return { line, endLine };
}

/** Whole lines, where that is possible. */
function boundedCode(code: string): string {
  if (code.length <= MAX_CODE) return code;
  const kept = code.slice(0, MAX_CODE).toWellFormed();
  const end = kept.lastIndexOf("\n");
  return end < 0 ? `${kept}…` : `${kept.slice(0, end)}\n…`;
}
