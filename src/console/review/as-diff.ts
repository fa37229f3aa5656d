import type { FileDiffDto } from "../../../sdk/src/index.ts";

/** More lines would be higher than a page of Firefox can be, and 10 MB may be nothing but ends of lines. */
const MAX_LINES = 500_000;

/** A file as a diff in which nothing has changed. @returns also how many lines at its end are not in it */
export function asDiff(path: string, text: string): { file: FileDiffDto; left: number } {
  const all = text.split("\n");
  if (all.at(-1) === "") all.pop();
  const lines = all.slice(0, MAX_LINES);
  const count = { old_start: 1, old_lines: lines.length, new_start: 1, new_lines: lines.length };
  const hunk = { ...count, heading: "", lines: lines.map((line) => ` ${line}`) };
  const file: FileDiffDto = {
    ...{ path, old_path: null, status: "modified", old_mode: "100644", new_mode: "100644" },
    ...{ additions: 0, deletions: 0, binary: false, too_large: false },
    hunks: lines.length > 0 ? [hunk] : [],
  };
  return { file, left: all.length - lines.length };
}
