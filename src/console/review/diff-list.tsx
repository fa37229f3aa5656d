import { defaultRangeExtractor, useVirtualizer } from "@tanstack/react-virtual";
import {
  type KeyboardEvent,
  type MouseEvent,
  type ReactNode,
  type Ref,
  useCallback,
  useImperativeHandle,
  useMemo,
  useRef,
} from "react";
import { isLeftBy } from "../ui/take-focus.ts";
import type { Place } from "./address.ts";
import { blocksOf, estimateHeight, type Row } from "./rows.ts";

/** Rows that are drawn beyond the edges of the screen. */
const OVERSCAN = 3;
/** Until a row that was scrolled to is measured and drawn. */
const REVEAL_FRAMES = 30;

export interface DiffListHandle {
  /** Goes to the next (1) or previous (-1) file. */
  moveFile(step: 1 | -1): void;
  /** Goes to the next or previous block of changed lines. */
  moveChange(step: 1 | -1): void;
  /** @param focus also with the keyboard. */
  reveal(place: Place, focus: boolean): void;
  /** Where the keyboard is, else what is at the top. */
  current(): Place | undefined;
}

/** A diff as one list of which only what is on the screen is drawn, however long it is. */
export function DiffList(options: {
  rows: readonly Row[];
  renderRow: (row: Row) => ReactNode;
  onSelect: (place: Place) => void;
  onComment: (place: Place) => void;
  selected: Place | undefined;
  ref: Ref<DiffListHandle>;
}) {
  const { rows, renderRow, onSelect, onComment, selected, ref } = options;
  const scroller = useRef<HTMLDivElement>(null);
  const headers = useMemo(() => rows.flatMap((row, index) => (row.kind === "header" ? [index] : [])), [rows]);
  const blocks = useMemo(() => blocksOf(rows), [rows]);
  const headerOf = useCallback(
    (index: number) => headers.findLast((header) => header <= index) ?? 0,
    [headers],
  );
  const top = useRef(0);
  const rowOfFocus = () => {
    const row = document.activeElement?.closest<HTMLElement>("[data-index]");
    return row && scroller.current?.contains(row) ? Number(row.dataset["index"]) : undefined;
  };
  const list = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: (index) => estimateHeight(rows[index] as Row),
    getItemKey: (index) => rows[index]?.key ?? index,
    overscan: OVERSCAN,
    // The header of the file at the top stays there, and the keyboard is not taken away from where it is.
    rangeExtractor: (range) => {
      top.current = headerOf(range.startIndex);
      const focus = rowOfFocus();
      const kept = focus === undefined || focus >= rows.length ? [top.current] : [top.current, focus];
      return [...new Set([...kept, ...defaultRangeExtractor(range)])].sort((a, b) => a - b);
    },
  });

  /** Where the keyboard is going: a key that is pressed before it is there is about that place. */
  const going = useRef<{ row: number; place: Place; from: Element | null }>(undefined);
  const goTo = (
    row: number,
    place: Place,
    options: { selector: string; focus: boolean; block?: ScrollLogicalPosition },
  ) => {
    list.scrollToIndex(row, { align: "start" });
    const goal = { row, place, from: document.activeElement };
    going.current = goal;
    let frames = 0;
    const look = () => {
      if (going.current !== goal) return;
      const found = scroller.current?.querySelector<HTMLElement>(options.selector);
      frames += 1;
      if (!found && frames < REVEAL_FRAMES) {
        requestAnimationFrame(look);
        return;
      }
      going.current = undefined;
      if (options.block) found?.scrollIntoView({ block: options.block });
      // What has the keyboard by now, such as a comment that was begun meanwhile, keeps it.
      if (options.focus && isLeftBy(goal.from)) found?.focus({ preventScroll: true });
    };
    requestAnimationFrame(look);
  };
  const goal = () => (going.current && isLeftBy(going.current.from) ? going.current : undefined);
  const rowOfKeyboard = () => goal()?.row ?? rowOfFocus();
  const placeOfKeyboard = () => goal()?.place ?? placeOfLine(document.activeElement);
  const topRow = () => {
    const offset = list.scrollOffset ?? 0;
    return (
      list.getVirtualItems().find((item) => item.index !== top.current && item.end > offset + 60)?.index ?? 0
    );
  };

  useImperativeHandle(ref, () => ({
    moveFile(step) {
      const now = headers.indexOf(headerOf(rowOfKeyboard() ?? topRow()));
      // From what lies before the first file's header, forwards is to that header.
      const started = rowOfKeyboard() !== undefined || (list.scrollOffset ?? 0) > 0;
      const wanted = headers[started ? Math.min(Math.max(now + step, 0), headers.length - 1) : 0];
      const row = wanted === undefined ? undefined : rows[wanted];
      const path = row?.file.path;
      if (wanted !== undefined && path !== undefined)
        goTo(wanted, ofFile(path), { selector: `${headerOfPath(path)} .file-fold`, focus: true });
    },
    moveChange(step) {
      const focused = placeOfKeyboard();
      const at = blocks.findIndex(
        ({ path, line }) =>
          path === focused?.path && line.side === focused.side && line.line === focused.lines?.from,
      );
      const from = rowOfKeyboard() ?? topRow();
      const next =
        at >= 0
          ? at + step
          : step > 0
            ? blocks.findIndex(({ row }) => row >= from)
            : blocks.findLastIndex(({ row }) => row < from);
      const block = blocks[next];
      if (!block) return;
      const { path, line } = block;
      const { side, line: number } = line;
      const place = { path, side, lines: { from: number, to: number } };
      goTo(block.row, place, { selector: lineSelector({ path, ...line }), focus: true, block: "center" });
    },
    reveal(place, focus) {
      const { path, side, lines } = place;
      const isHere = (row: Row) => row.file.path === path || (side === "old" && row.file.old_path === path);
      const header = rows.findIndex(isHere);
      if (header < 0) return;
      const line = lines?.to;
      const name = rows[header]?.file.path ?? path;
      const index = rows.findIndex(
        (row) =>
          row.kind === "piece" &&
          isHere(row) &&
          row.piece.hunk.changes.some((change) =>
            change.type === "normal"
              ? side === "new" && change.newLineNumber === line
              : change.lineNumber === line && (change.type === "delete") === (side === "old"),
          ),
      );
      if (line === undefined || index < 0)
        goTo(header, ofFile(name), { selector: `${headerOfPath(name)} .file-fold`, focus });
      else goTo(index, place, { selector: lineSelector({ path: name, side, line }), focus, block: "center" });
    },
    current() {
      const place = placeOfKeyboard();
      if (place) return place;
      const row = rows[rowOfFocus() ?? topRow()];
      return row && ofFile(row.file.path);
    },
  }));

  const onClick = (event: MouseEvent) => {
    const place = placeOfLine(event.target);
    if (!place) return;
    const isKey = event.detail === 0;
    const wanted =
      (event.shiftKey ? extendedTo(selected, place) : isKey ? extended(selected, place) : undefined) ?? place;
    onSelect(wanted);
    onComment(wanted);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    const place = placeOfLine(event.target);
    if (step === 0 || !place || !(event.target instanceof HTMLElement)) return;
    event.preventDefault();
    const all = [...(scroller.current?.querySelectorAll<HTMLElement>(".line-number") ?? [])];
    const next = all[all.indexOf(event.target) + step];
    const to = placeOfLine(next);
    if (!next || !to) return;
    next.focus();
    if (event.shiftKey) onSelect(extendedTo(extended(selected, place) ? selected : place, to) ?? to);
  };

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the buttons in it are what is pressed.
    <div className="diff-list" ref={scroller} onClick={onClick} onKeyDown={onKeyDown}>
      <div className="diff-rows" style={{ height: list.getTotalSize() }}>
        {list.getVirtualItems().map(({ key, index, start }) => {
          const row = rows[index] as Row;
          const stays = index === top.current;
          return (
            <div
              key={key}
              ref={list.measureElement}
              data-index={index}
              className={stays ? "diff-row diff-row-top" : "diff-row"}
              style={stays ? undefined : { transform: `translateY(${start}px)` }}
            >
              {renderRow(row)}
            </div>
          );
        })}
      </div>
    </div>
  );
}

const headerOfPath = (path: string) => `.file-header[data-path="${CSS.escape(path)}"]`;
const lineSelector = ({ path, side, line }: { path: string; side: string; line: number }) =>
  `.line-number[data-path="${CSS.escape(path)}"][data-side="${side}"][data-line="${line}"]`;

const ofFile = (path: string): Place => ({ path, side: "new", lines: null });

/** The line that a number stands for. */
function placeOfLine(target: EventTarget | null | undefined): Place | undefined {
  if (!(target instanceof HTMLElement) || !target.matches(".line-number")) return undefined;
  const { path, side, line } = target.dataset;
  if (path === undefined) return undefined;
  return { path, side: side === "old" ? "old" : "new", lines: { from: Number(line), to: Number(line) } };
}

const isSameSide = (a: Place | undefined, b: Place) => a?.path === b.path && a.side === b.side;

/** The selection, if a line is in it. */
const extended = (selected: Place | undefined, { lines, ...place }: Place): Place | undefined =>
  selected?.lines &&
  lines &&
  isSameSide(selected, { lines, ...place }) &&
  selected.lines.from <= lines.from &&
  selected.lines.to >= lines.to
    ? selected
    : undefined;

/** The selection up to a line. */
function extendedTo(selected: Place | undefined, place: Place): Place | undefined {
  if (!selected?.lines || !place.lines || !isSameSide(selected, place)) return undefined;
  const from = Math.min(selected.lines.from, place.lines.from);
  const to = Math.max(selected.lines.to, place.lines.to);
  return { ...place, lines: { from, to } };
}
