import type { FileDiffDto } from "../../../sdk/src/index.ts";
import type { LineOf, Piece } from "./pieces.ts";

/** What is drawn at once: the header of a file, what is said about all of it, or some of its lines. */
export type Row =
  | { kind: "header"; key: string; file: FileDiffDto }
  | { kind: "about"; key: string; file: FileDiffDto }
  | { kind: "piece"; key: string; file: FileDiffDto; piece: Piece };

/** Larger diffs are folded at first, where there are others. Lines. */
const LARGE = 3_000;

export const isLarge = ({ additions, deletions }: FileDiffDto): boolean => additions + deletions > LARGE;

/** The whole diff as one list. @param isFolded of whose files the header alone is shown */
export function rowsOf(
  files: readonly FileDiffDto[],
  piecesOf: (file: FileDiffDto) => readonly Piece[],
  isFolded: (file: FileDiffDto) => boolean,
  hasAbout: (file: FileDiffDto) => boolean,
): Row[] {
  return files.flatMap((file): Row[] => {
    const header: Row = { kind: "header", key: file.path, file };
    if (isFolded(file)) return [header];
    const about: Row[] = hasAbout(file) ? [{ kind: "about", key: `about ${file.path}`, file }] : [];
    const pieces = piecesOf(file).map(
      (piece): Row => ({ kind: "piece", key: `${piece.key} ${file.path}`, file, piece }),
    );
    return [header, ...about, ...pieces];
  });
}

/** Pixels, until it was measured. */
export function estimateHeight(row: Row): number {
  if (row.kind === "header") return 48;
  if (row.kind === "about") return 120;
  return row.piece.rows * 24 + (row.piece.heading === null ? 0 : 28);
}

/** The first lines of all blocks of changes, in the order of the page. */
export const blocksOf = (rows: readonly Row[]): { row: number; path: string; line: LineOf }[] =>
  rows.flatMap((row, index) =>
    row.kind === "piece" ? row.piece.blocks.map((line) => ({ row: index, path: row.file.path, line })) : [],
  );
