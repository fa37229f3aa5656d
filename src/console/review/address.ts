import type { CommentSide } from "../../../sdk/src/index.ts";

/** What a part of the page is about: lines of a file, or without them the file. */
export interface Place {
  path: string;
  side: CommentSide;
  lines: { from: number; to: number } | null;
}

/** What the page shows besides the whole diff. */
export interface ReviewSearch {
  /** The work of this prompt alone. */
  prompt?: string;
  /** This file, whole. */
  file?: string;
  /** The commit that has it. Default: the session's work as it is. */
  at?: string;
}

const COMMIT = /^[0-9a-f]{40,64}$/;

export function readSearch(search: Record<string, unknown>): ReviewSearch {
  const { prompt, file, at } = search;
  return {
    ...(typeof prompt === "string" && { prompt }),
    ...(typeof file === "string" && { file }),
    ...(typeof at === "string" && COMMIT.test(at) && { at }),
  };
}

/** The fragment of an address: `src/a.ts:L10-L12`, where the old side's lines have an O. */
export function toFragment({ path, side, lines }: Place): string {
  const letter = side === "old" ? "O" : "L";
  const end = lines && lines.to > lines.from ? `-${letter}${lines.to}` : "";
  const name = path.split("/").map(encodeURIComponent).join("/");
  return lines ? `${name}:${letter}${lines.from}${end}` : name;
}

export function readFragment(fragment: string): Place | undefined {
  const found = /^#?([^#]+?)(?::([LO])(\d{1,9})(?:-[LO](\d{1,9}))?)?$/.exec(fragment);
  if (!found) return undefined;
  const [, name = "", letter, first, last = first] = found;
  let path: string;
  try {
    path = decodeURIComponent(name);
  } catch {
    return undefined;
  }
  const lines =
    first === undefined ? null : { from: Number(first), to: Math.max(Number(first), Number(last)) };
  return { path, side: letter === "O" ? "old" : "new", lines };
}
