import { createContext, type ReactNode, useContext, useState } from "react";
import { Icon } from "../shell/icons.tsx";
import { readAnsi } from "./ansi.ts";
import { Scrollable } from "./scrollable.tsx";

/** What the user has opened: a row that is scrolled out of sight is no longer rendered, and comes back as it was. */
const Folds = createContext<Map<string, boolean>>(new Map());

export function FoldProvider({ children }: { children: ReactNode }) {
  const [folds] = useState(() => new Map<string, boolean>());
  return <Folds value={folds}>{children}</Folds>;
}

function useFold(key: string): [open: boolean, toggle: () => void] {
  const folds = useContext(Folds);
  const [open, setOpen] = useState(folds.get(key) ?? false);
  return [
    open,
    () => {
      folds.set(key, !open);
      setOpen(!open);
    },
  ];
}

/** Something that is closed until the user wants it. `children` is called when it is open. */
export function Fold(options: { id: string; title: ReactNode; children: () => ReactNode }) {
  const { id, title, children } = options;
  const [open, toggle] = useFold(id);
  return (
    <div className="fold">
      <button type="button" className="fold-title" aria-expanded={open} onClick={toggle}>
        <Icon name="chevron" />
        <span>{title}</span>
      </button>
      {open && <div className="fold-body">{children()}</div>}
    </div>
  );
}

/** Lines shown of a long output, and the characters that they may have. */
const SHOWN_LINES = 12;
const SHOWN_CHARS = 2_000;
/** Most characters that are shown at all: the page has to lay them out. */
const MAX_CHARS = 200_000;

/** Output of a program, in its colours; of a long one the beginning, until the user wants the rest. */
export function Output({ id, text, label }: { id: string; text: string; label: string }) {
  const [open, toggle] = useFold(id);
  const whole = text.replace(/\n+$/, "");
  if (whole === "") return <p className="muted output-empty">No output.</p>;
  const start = beginning(whole);
  const isLong = start.length < whole.length;
  const shown = isLong && !open ? start : whole.slice(0, MAX_CHARS);
  return (
    <div className="output">
      <Scrollable label={label} tall={open}>
        {readAnsi(shown).map(({ text, className }, index) =>
          className ? (
            // biome-ignore lint/suspicious/noArrayIndexKey: the pieces of an output never move.
            <span key={index} className={className}>
              {text}
            </span>
          ) : (
            text
          ),
        )}
      </Scrollable>
      {isLong && (
        <button type="button" className="fold-more" aria-expanded={open} onClick={toggle}>
          {open ? "Show less" : `Show all ${countLines(whole)} lines`}
        </button>
      )}
      {open && whole.length > MAX_CHARS && (
        <p className="muted">The rest, {whole.length - MAX_CHARS} characters, is not shown.</p>
      )}
    </div>
  );
}

function beginning(text: string): string {
  let end = -1;
  for (let line = 0; line < SHOWN_LINES; line += 1) {
    end = text.indexOf("\n", end + 1);
    if (end === -1 || end > SHOWN_CHARS) break;
  }
  const lines = end === -1 ? text : text.slice(0, end);
  // One or two more lines are better shown than folded.
  if (text.length - lines.length < 160 && countLines(text) <= SHOWN_LINES + 2) return text;
  return lines.slice(0, SHOWN_CHARS);
}

function countLines(text: string): number {
  let lines = 1;
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) lines += 1;
  return lines;
}
