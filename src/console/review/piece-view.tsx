import { memo, useMemo } from "react";
import { type ChangeData, Diff, Hunk, type TokenNode } from "react-diff-view";
import { useHighlight } from "../highlight/code.tsx";
import { languageOf } from "../highlight/languages.ts";
import type { Token } from "../highlight/tokens.ts";
import type { Place } from "./address.ts";
import {
  type Change,
  codeOf,
  type DiffLook,
  keysByLine,
  lineKey,
  lineOf,
  nodesOf,
  type Piece,
} from "./pieces.ts";
import { ThreadView } from "./thread.tsx";
import type { Thread } from "./threads.ts";

const WORDS = { insert: "added", delete: "removed", normal: "unchanged" };

/** Some lines of a file's diff, with what is said about them. */
export const PieceView = memo(function PieceView(options: {
  piece: Piece;
  path: string;
  look: DiffLook;
  /** Lines of one side alone: they have one column. `whole`: without changes. */
  only?: "added" | "deleted" | "whole" | undefined;
  threads: ReadonlyMap<string, Thread> | undefined;
  selected: Place | undefined;
}) {
  const { piece, path, look, only, threads, selected } = options;
  const whole = only === "whole";
  const keys = useMemo(() => keysByLine(piece), [piece]);
  const widgets = useMemo(() => {
    const found: Record<string, React.ReactNode> = {};
    if (threads)
      for (const [line, key] of keys) {
        const thread = threads.get(line);
        if (thread) found[key] = <ThreadView thread={thread} />;
      }
    return found;
  }, [keys, threads]);
  const selectedChanges = useMemo(() => {
    if (!selected?.lines) return [];
    const { side, lines } = selected;
    return [...keys].filter(([line]) => isWithin(line, side, lines)).map(([, key]) => key);
  }, [keys, selected]);

  const tokens = useTokens(piece, path);

  return (
    <>
      {piece.heading !== null && !whole && <p className="hunk-heading">{piece.heading}</p>}
      <Diff
        viewType={whole ? "split" : look}
        diffType={only === undefined ? "modify" : only === "deleted" ? "delete" : "add"}
        hunks={[piece.hunk]}
        widgets={widgets}
        selectedChanges={selectedChanges}
        tokens={tokens}
        renderGutter={({ change, side }) => {
          const own = lineOf(change);
          const number = side === "old" ? oldNumber(change) : newNumber(change);
          if (side !== own.side && !whole) return <span>{number}</span>;
          const isFirst = piece.blocks.some((block) => lineKey(block) === lineKey(own));
          return (
            <LineButton
              {...own}
              path={path}
              what={WORDS[change.type]}
              focusable={isFirst || (whole && change === piece.hunk.changes[0])}
            />
          );
        }}
      >
        {(hunks) => hunks.map((hunk) => <Hunk key={hunk.content} hunk={hunk} />)}
      </Diff>
    </>
  );
});

/** The colours of the code of both sides, once they are known: in the places of its lines. */
function useTokens({ hunk }: Piece, path: string) {
  const language = languageOf(path);
  const sides = useMemo(() => {
    const ofSide = (other: "insert" | "delete") => hunk.changes.filter(({ type }) => type !== other);
    return { old: ofSide("insert"), new: ofSide("delete") };
  }, [hunk]);
  const oldLines = useHighlight(textOf(sides.old), language);
  const newLines = useHighlight(textOf(sides.new), language);
  return useMemo(() => {
    if (!oldLines && !newLines) return null;
    const placed = (
      changes: readonly Change[],
      lines: readonly Token[][] | undefined,
      side: "old" | "new",
    ) => {
      const found: TokenNode[][] = [];
      for (const [index, change] of changes.entries()) {
        const number = side === "old" ? oldNumber(change) : newNumber(change);
        found[Number(number) - 1] = nodesOf(change, lines?.[index]);
      }
      return found;
    };
    return { old: placed(sides.old, oldLines, "old"), new: placed(sides.new, newLines, "new") };
  }, [sides, oldLines, newLines]);
}

const textOf = (changes: readonly Change[]) => changes.map(codeOf).join("\n");

/** The number of a line: it selects it, and with the keyboard opens a comment. The list handles that (see diff-list.tsx). */
function LineButton(options: {
  side: "old" | "new";
  line: number;
  path: string;
  what: string;
  focusable: boolean;
}) {
  const { side, line, path, what, focusable } = options;
  return (
    <button
      type="button"
      className="line-number"
      tabIndex={focusable ? 0 : -1}
      data-side={side}
      data-line={line}
      data-path={path}
      aria-label={`Line ${line}, ${what}`}
    >
      {line}
    </button>
  );
}

const isWithin = (key: string, side: string, { from, to }: { from: number; to: number }) => {
  const [ofSide, line] = key.split(":");
  return ofSide === side && Number(line) >= from && Number(line) <= to;
};

const oldNumber = (change: ChangeData) =>
  change.type === "normal" ? change.oldLineNumber : change.type === "delete" ? change.lineNumber : "";
const newNumber = (change: ChangeData) =>
  change.type === "normal" ? change.newLineNumber : change.type === "insert" ? change.lineNumber : "";
