import type { CommentDto, DiffOutput, FileDiffDto } from "../../../sdk/src/index.ts";
import type { Place } from "./address.ts";
import { lineKey, lineOf, type Piece } from "./pieces.ts";

/** A comment that is being written; it survives a reload. */
export interface Draft extends Place {
  id: string;
  /** What its lines are of. */
  commit: string;
  text: string;
  /** The same in each attempt to save it, so that one whose answer was lost does not make a second comment. */
  key: string;
}

/** What is said at one place. */
export interface Thread {
  comments: CommentDto[];
  drafts: Draft[];
}

/** The threads of a file, by the last of their lines; `file`: about the file, or about lines that are not in the diff. */
export interface FileThreads {
  byLine: ReadonlyMap<string, Thread>;
  file: Thread;
}

/** The commits that are compared. @param whole whether that is all of the session's work */
export type Compared = Pick<DiffOutput, "base" | "head"> & { whole: boolean };

/** Where a comment is in what is shown; undefined: nowhere, because its lines have changed or are of another time. */
export function placeOf(comment: CommentDto, { base, head, whole }: Compared): Place | undefined {
  const { path, side, line, end_line: end, commit, current } = comment;
  const lines = (from: number | null, to: number | null) =>
    from === null ? null : { from, to: Math.max(from, to ?? from) };
  if (commit === (side === "old" ? base : head)) return { path, side, lines: lines(line, end) };
  if (!whole || !current) return undefined;
  return { path: current.path, side, lines: lines(current.line, current.end_line) };
}

const emptyThread = (): Thread => ({ comments: [], drafts: [] });

/** Sorts comments and drafts to the files of a diff. @returns by path; what has no place is left out. */
export function threadsByFile(
  files: readonly FileDiffDto[],
  pieces: (file: FileDiffDto) => readonly Piece[],
  said: { comments: readonly CommentDto[]; drafts: readonly Draft[] },
  compared: Compared,
): Map<string, FileThreads> {
  const byNew = new Map(files.map((file) => [file.path, file]));
  const byOld = new Map(files.map((file) => [file.old_path ?? file.path, file]));
  const found = new Map<string, { byLine: Map<string, Thread>; file: Thread }>();
  const threadAt = (place: Place): Thread | undefined => {
    const file = (place.side === "old" ? byOld : byNew).get(place.path);
    if (!file) return undefined;
    const ofFile = found.get(file.path) ?? { byLine: new Map<string, Thread>(), file: emptyThread() };
    found.set(file.path, ofFile);
    const key = place.lines && lineKey({ side: place.side, line: place.lines.to });
    if (key === null || !hasLine(pieces(file), key)) return ofFile.file;
    const thread = ofFile.byLine.get(key) ?? emptyThread();
    ofFile.byLine.set(key, thread);
    return thread;
  };
  for (const comment of said.comments) {
    const place = placeOf(comment, compared);
    if (place) threadAt(place)?.comments.push(comment);
  }
  for (const draft of said.drafts)
    if (draft.commit === (draft.side === "old" ? compared.base : compared.head))
      threadAt(draft)?.drafts.push(draft);
  return found;
}

const lineKeys = new WeakMap<readonly Piece[], ReadonlySet<string>>();

/** Asked for each comment at each key that is pressed in another one, so the lines are not looked through again. */
function hasLine(pieces: readonly Piece[], key: string): boolean {
  const known =
    lineKeys.get(pieces) ??
    new Set(pieces.flatMap(({ hunk }) => hunk.changes.map((change) => lineKey(lineOf(change)))));
  lineKeys.set(pieces, known);
  return known.has(key);
}
