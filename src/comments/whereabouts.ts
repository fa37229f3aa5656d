import type { Reviews, Work } from "../review/reviews.ts";
import { AppError } from "../shared/errors.ts";
import { type ChangedFile, fileAfter, type Place, placeAfter } from "./position.ts";
import type { CommentRow } from "./store.ts";

/** A comment, and what has become of what it is about. */
export interface FoundComment extends Whereabouts {
  row: CommentRow;
}

interface Whereabouts {
  outdated: boolean;
  /** Null: it is outdated, or that cannot be told. */
  current: Place | null;
}

/** A diff without lines around its changes. */
interface Changes {
  files: readonly ChangedFile[];
  /** Files or hunks are missing. */
  truncated: boolean;
}

/** Lines around the changes. */
const CONTEXT = 0;
const UNKNOWN: Whereabouts = { outdated: false, current: null };

/** The session's work; undefined while its repository cannot be read: its comments can be, all the same. */
export const workIfReadable = (
  reviews: Pick<Reviews, "work">,
  { userId, sessionId }: { userId: string; sessionId: string },
): Promise<Work | undefined> => reviews.work(userId, sessionId).catch(unlessUnreadable);

/** Where each comment is today. @param work undefined: its repository cannot be read. */
export async function findComments(
  reviews: Pick<Reviews, "diff" | "readAhead" | "show">,
  work: Work | undefined,
  comments: readonly CommentRow[],
): Promise<FoundComment[]> {
  if (!work) return comments.map((row) => ({ row, ...UNKNOWN }));
  const reader = openReader(reviews, work);
  const endOf = ({ side }: CommentRow) => (side === "old" ? work.base : work.head);
  try {
    for (const to of [work.base, work.head]) {
      const from = comments.filter((row) => endOf(row) === to && row.commit !== to);
      await reviews.readAhead(work, { from: from.map(({ commit }) => commit), to, context: CONTEXT });
    }
  } catch (error) {
    unlessUnreadable(error);
    return comments.map((row) => ({ row, ...UNKNOWN }));
  }
  const found: FoundComment[] = [];
  // One after the other, because each may need a run of git all the same.
  for (const row of comments) {
    const place = await findComment(reader, row, endOf(row)).catch(unlessUnreadable);
    found.push({ row, ...(place ?? UNKNOWN) });
  }
  return found;
}

type Reader = ReturnType<typeof openReader>;

function openReader(reviews: Pick<Reviews, "diff" | "show">, work: Work) {
  const read = async (from: string, to: string, path?: string): Promise<Changes> => {
    const { json, truncated } = await reviews.diff(work, { from, to, context: CONTEXT, path });
    return { files: (JSON.parse(json) as ChangedFile[]).map(withoutText), truncated };
  };
  // What failed is not tried again for the next comment, either.
  const known = new Map<string, Promise<Changes>>();
  return {
    /** @param path the only file. Default: all. */
    changes(...range: Parameters<typeof read>): Promise<Changes> {
      const key = JSON.stringify(range);
      const changes = known.get(key) ?? read(...range);
      known.set(key, changes);
      return changes;
    },

    async isSame(path: string, ...commits: readonly [string, string]): Promise<boolean> {
      const read = async (commit: string) => (await reviews.show(work, { commit, path, lines: [1, 1] })).id;
      return (await read(commits[0])) === (await read(commits[1]));
    },
  };
}

/** Of several diffs, the lines would be megabytes. */
const withoutText = ({ path, old_path, status, binary, too_large, hunks }: ChangedFile): ChangedFile => ({
  ...{ path, old_path, status, binary, too_large },
  hunks: hunks.map(({ old_start, old_lines, new_lines }) => ({ old_start, old_lines, new_lines })),
});

async function findComment(reader: Reader, row: CommentRow, end: string): Promise<Whereabouts> {
  const { path, line, endLine, commit } = row;
  const place: Place = { path, lines: line === null || endLine === null ? null : { line, endLine } };
  if (commit === end) return { outdated: false, current: place };
  const { files, truncated } = await reader.changes(commit, end);
  let file = fileAfter(files, path);
  if (!file && truncated && !(await reader.isSame(path, commit, end))) return UNKNOWN;
  if (file?.too_large && place.lines)
    file = fileAfter((await reader.changes(commit, end, file.path)).files, path) ?? file;
  if (file?.too_large && place.lines) return UNKNOWN;
  const current = file ? placeAfter(file, place) : place;
  return { outdated: current === null, current };
}

function unlessUnreadable(error: unknown): undefined {
  if (error instanceof AppError && UNREADABLE.has(error.code)) return undefined;
  throw error;
}

/** `file_not_found`: the file is gone, but the diff is too large to tell. */
const UNREADABLE: ReadonlySet<string> = new Set([
  "repository_unavailable",
  "repository_unreadable",
  "file_not_found",
]);
