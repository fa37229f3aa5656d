/** Lines of a file, from 1, the last one included. */
export interface LineRange {
  line: number;
  endLine: number;
}

/** What a comment is about. */
export interface Place {
  path: string;
  /** Null: the file. */
  lines: LineRange | null;
}

/** A change of a file, in git's numbers, without lines around it. Without old lines it is behind line `old_start`. */
export interface Change {
  old_start: number;
  old_lines: number;
  new_lines: number;
}

export interface ChangedFile {
  path: string;
  /** Null: it had the same name, or did not exist. */
  old_path: string | null;
  status: string;
  binary: boolean;
  /** Its hunks are not here. */
  too_large: boolean;
  hunks: readonly Change[];
}

/** What a diff has of the file that had this name. A new file may have got the name of one that was renamed. */
export const fileAfter = (files: readonly ChangedFile[], path: string): ChangedFile | undefined =>
  files.find(({ old_path }) => old_path === path) ??
  files.find((one) => one.path === path && one.old_path === null && one.status !== "added");

/** Where a place is after its file was changed. @returns null if the file or one of its lines is gone, or was changed. */
export function placeAfter(file: ChangedFile, { lines }: Place): Place | null {
  if (file.status === "deleted") return null;
  const { path } = file;
  if (lines === null) return { path, lines };
  // What has changed in it, git does not say.
  const moved = file.binary ? null : moveLines(file.hunks, lines);
  return moved && { path, lines: moved };
}

/**
 * The same for lines, after changes of their file. @returns null if one of them was changed or deleted, or something was inserted
 * between them. @param changes all of the file's, in their order.
 */
function moveLines(changes: readonly Change[], { line, endLine }: LineRange): LineRange | null {
  let shift = 0;
  for (const { old_start, old_lines, new_lines } of changes) {
    const begin = old_lines === 0 ? old_start + 1 : old_start;
    if (begin > endLine) break;
    if (begin + old_lines > line) return null;
    shift += new_lines - old_lines;
  }
  return { line: line + shift, endLine: endLine + shift };
}
