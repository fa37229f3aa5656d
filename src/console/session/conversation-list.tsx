import { useVirtualizer, type Virtualizer } from "@tanstack/react-virtual";
import { memo, type RefObject, useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";
import { useKeys } from "../shell/keys.ts";
import { Button } from "../ui/button.tsx";
import { focusSoon } from "../ui/take-focus.ts";
import { Time } from "../ui/time.tsx";
import { waitsForRaise } from "./budget.ts";
import { RowBoundary } from "./items/boundary.tsx";
import { Outcome } from "./items/outcome.tsx";
import { Prompt } from "./items/prompt.tsx";
import { Said } from "./items/said.tsx";
import { Prose } from "./markdown.tsx";
import { Permissions } from "./permissions.ts";
import type { Row } from "./rows/row.ts";

/** A guess at the height of a row, in pixels, until it is measured. */
const GUESSES: Readonly<Partial<Record<Row["kind"], number>>> = {
  prompt: 110,
  text: 90,
  tool: 150,
  output: 120,
  question: 180,
  earlier: 120,
};
const OTHER_GUESS = 44;
/** Whoever is this close to the end, in pixels, is at the end. */
const AT_END = 4;
/** Rows rendered beyond each edge of what is seen. */
const OVERSCAN = 6;

/**
 * The conversation. Only what is seen is in the page. Whoever is at its end stays there; elsewhere the place is kept, whatever
 * comes or changes its height.
 * @param hash of the page's address: `p-` and a prompt's id, or `m-` and the `seq` of a message.
 */
export function ConversationList({ rows, hash }: { rows: readonly Row[]; hash: string }) {
  const scroller = useRef<HTMLDivElement>(null);
  const list = useVirtualizer<HTMLDivElement, HTMLDivElement>({
    count: rows.length,
    getScrollElement: () => scroller.current,
    // The same functions for the same rows: with others, all heights would be added up anew at each frame.
    estimateSize: useCallback((index) => GUESSES[rows[index]?.kind ?? "note"] ?? OTHER_GUESS, [rows]),
    getItemKey: useCallback((index) => rows[index]?.key ?? index, [rows]),
    anchorTo: "end",
    overscan: OVERSCAN,
    paddingStart: 16,
    paddingEnd: 24,
  });
  const { follows, follow, leadTo } = useEnd(list, rows, scroller, indexOf(rows, hash) === -1);
  useLinks(leadTo, rows, hash);
  usePromptKeys(list, leadTo, rows, scroller);
  useQuestionKey(leadTo, rows, scroller);
  const marked = hash === "" ? -1 : indexOf(rows, hash);

  return (
    <div className="conversation">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what cannot have the focus cannot be scrolled by keys. */}
      <section className="conversation-scroll" ref={scroller} tabIndex={0} aria-label="Conversation">
        <div className="conversation-rows" style={{ height: list.getTotalSize() }}>
          {list.getVirtualItems().map(({ index, key, start }) => {
            const row = rows[index];
            if (!row) return null;
            return (
              <div
                key={key}
                ref={list.measureElement}
                data-index={index}
                className="row"
                data-marked={index === marked}
                style={{ transform: `translateY(${start}px)` }}
              >
                <RowBoundary row={row}>
                  <OneRow row={row} />
                </RowBoundary>
              </div>
            );
          })}
        </div>
      </section>
      {!follows && (
        <Button className="to-end" onClick={follow}>
          Jump to the newest ↓
        </Button>
      )}
    </div>
  );
}

type List = Virtualizer<HTMLDivElement, HTMLDivElement>;
/** Scrolls to a row. */
type LeadTo = (index: number, align: "start" | "auto") => void;

const OneRow = memo(function OneRow({ row }: { row: Row }) {
  switch (row.kind) {
    case "prompt":
      return <Prompt row={row} number={row.prompt.seq} />;
    case "outcome":
      return <Outcome prompt={row.prompt} />;
    case "earlier":
      return (
        <div className="said earlier" data-role={row.role}>
          <p className="muted">
            {row.role === "user" ? "Asked" : "Answered"} before the fork, <Time at={row.at} />
          </p>
          <Prose text={row.text} />
        </div>
      );
    default:
      return <Said row={row} />;
  }
});

/**
 * Whoever is at the end stays there, whatever comes, grows, or takes room beside the list: the last row is that of the prompt's
 * outcome, and new ones come before it. Scrolling up ends that, scrolling to the end starts it.
 * @param fromStart whether the page begins at the end.
 */
function useEnd(
  list: List,
  rows: readonly Row[],
  scroller: RefObject<HTMLElement | null>,
  fromStart: boolean,
) {
  const [follows, setFollows] = useState(fromStart);
  useEffect(() => {
    const element = scroller.current;
    if (!element) return;
    let before = 0;
    // What the list knows of the scrolling: asking the element would lay out the page once more.
    const scrolled = () => {
      const offset = list.scrollOffset ?? 0;
      if (list.getDistanceFromEnd() <= AT_END) setFollows(true);
      else if (offset < before) setFollows(false);
      before = offset;
    };
    element.addEventListener("scroll", scrolled, { passive: true });
    return () => element.removeEventListener("scroll", scrolled);
  }, [list, scroller]);
  const size = list.getTotalSize();
  const room = list.scrollRect?.height;
  // biome-ignore lint/correctness/useExhaustiveDependencies: these are what moves the end.
  useLayoutEffect(() => {
    if (follows) list.scrollToEnd();
  }, [follows, rows, size, room]);
  const leadTo = useCallback<LeadTo>(
    (index, align) => {
      const [offset = 0] = list.getOffsetForIndex(index, align) ?? [];
      // Before the scrolling says so: rows that are first measured there would lead back to the end.
      if (offset < (list.scrollOffset ?? 0)) setFollows(false);
      list.scrollToIndex(index, { align });
    },
    [list],
  );
  return { follows, follow: () => setFollows(true), leadTo };
}

/** Goes to the place that the address names, as soon as it is there. */
function useLinks(leadTo: LeadTo, rows: readonly Row[], hash: string): void {
  const done = useRef("");
  useEffect(() => {
    if (hash === "") done.current = "";
    if (hash === "" || done.current === hash) return;
    const index = indexOf(rows, hash);
    if (index === -1) return;
    done.current = hash;
    leadTo(index, "start");
  }, [leadTo, rows, hash]);
}

/** j and k: the next and the previous prompt. */
function usePromptKeys(
  list: List,
  leadTo: LeadTo,
  rows: readonly Row[],
  scroller: RefObject<HTMLElement | null>,
): void {
  const go = (step: 1 | -1) => {
    const offset = (list.scrollOffset ?? 0) + 1;
    const first = list.getVirtualItemForOffset(offset)?.index ?? 0;
    let index = first;
    do index += step;
    while (index >= 0 && index < rows.length && rows[index]?.kind !== "prompt");
    // In the middle of a prompt's output, back means to its beginning.
    if (step === 1 && index >= rows.length) {
      list.scrollToEnd();
      return;
    }
    if (index < 0) index = 0;
    leadTo(index, "start");
    const id = rows[index]?.kind === "prompt" ? rows[index]?.key.slice("p-".length) : undefined;
    focusSoon(() => scroller.current?.querySelector<HTMLElement>(`[data-prompt="${CSS.escape(id ?? "")}"]`));
  };
  useKeys({ j: () => go(1), k: () => go(-1) });
}

/** q: the next question that waits for an answer, or the prompt whose budget somebody has to raise. */
function useQuestionKey(leadTo: LeadTo, rows: readonly Row[], scroller: RefObject<HTMLElement | null>): void {
  const permissions = Permissions.use();
  const go = () => {
    const open = rows.flatMap((row, index) => {
      const asks = row.kind === "question" && permissions.get(row.requestId)?.status === "pending";
      if (asks) return [{ index, id: row.requestId }];
      const waits = row.kind === "outcome" && waitsForRaise(row.prompt);
      return waits ? [{ index, id: row.prompt.id }] : [];
    });
    const at = document.activeElement?.closest<HTMLElement>("[data-question]")?.dataset["question"];
    const next = open[(open.findIndex(({ id }) => id === at) + 1) % open.length];
    if (!next) return;
    leadTo(next.index, "auto");
    focusSoon(() => scroller.current?.querySelector<HTMLElement>(`[data-question="${CSS.escape(next.id)}"]`));
  };
  useKeys({ q: go });
}

function indexOf(rows: readonly Row[], hash: string): number {
  if (hash.startsWith("m-")) {
    const seq = Number(hash.slice("m-".length));
    return rows.findIndex((row) => "seq" in row && row.seq === seq);
  }
  return hash.startsWith("p-") ? rows.findIndex(({ key }) => key === hash) : -1;
}
