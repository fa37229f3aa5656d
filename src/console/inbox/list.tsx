import { useNavigate } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useCallback, useEffect, useRef, useState } from "react";
import type { SessionDto } from "../../../sdk/src/index.ts";
import { useKeys } from "../shell/keys.ts";
import { useSessionActions } from "./actions.ts";
import { GROUP_TITLES, type Line, neighbourOf } from "./groups.ts";
import { Row } from "./row.tsx";

/** Pixels, as inbox.css has them: lines of a known height need no measuring. */
const ROW = 68;
const ROW_NARROW = 92;
const HEADING = 44;
const NARROW = "(max-width: 44rem)";

const idOf = (line: Line | undefined) => (line && "session" in line ? line.session.id : undefined);

/**
 * The sessions, of which only those on the screen are in the page. One of them has the keyboard: j and k move it, and it stays
 * on its session while others come and go.
 */
export function List({ lines }: { lines: readonly Line[] }) {
  const scroller = useRef<HTMLDivElement>(null);
  const link = useRef<HTMLAnchorElement>(null);
  const narrow = useMedia(NARROW);
  const [wanted, setWanted] = useState<string>();
  /** Whether the keyboard has moved, so that the focus follows. */
  const moved = useRef(false);
  const { archive, markSeen } = useSessionActions();

  const rows = useVirtualizer({
    count: lines.length,
    getScrollElement: () => scroller.current,
    estimateSize: (index) => (idOf(lines[index]) === undefined ? HEADING : narrow ? ROW_NARROW : ROW),
    getItemKey: (index) => idOf(lines[index]) ?? `group ${index}`,
    overscan: 8,
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: heights are others on a narrow screen.
  useEffect(() => rows.measure(), [narrow, rows, lines]);

  const position = Math.max(wanted === undefined ? -1 : lines.findIndex((line) => idOf(line) === wanted), -1);
  const first = lines.findIndex((line) => idOf(line) !== undefined);
  const currentIndex = position >= 0 ? position : first;
  const currentId = idOf(lines[currentIndex]);
  const current = (): SessionDto | undefined => {
    const line = lines[currentIndex];
    return line && "session" in line ? line.session : undefined;
  };

  const move = (step: 1 | -1) => {
    let index = position < 0 ? (step > 0 ? first : -1) : currentIndex + step;
    while (index >= 0 && index < lines.length && idOf(lines[index]) === undefined) index += step;
    const id = idOf(lines[index]);
    if (id === undefined) return;
    moved.current = true;
    setWanted(id);
    rows.scrollToIndex(index === first ? 0 : index);
    if (id === currentId) link.current?.focus({ preventScroll: true });
  };
  useEffect(() => {
    if (!moved.current || !link.current) return;
    moved.current = false;
    link.current.focus({ preventScroll: true });
  });

  const archiveAt = (session: SessionDto) => {
    // The keyboard goes on to the next one.
    const next = neighbourOf(lines, session.id);
    if (session.id === currentId && next !== undefined) {
      moved.current = true;
      setWanted(next);
    }
    void archive(session);
  };
  // The same for as long as the list is shown: lines that stay are not drawn again while it scrolls.
  const latest = useRef(archiveAt);
  latest.current = archiveAt;
  const onArchive = useCallback((session: SessionDto) => latest.current(session), []);
  const navigate = useNavigate();
  const onOpen = useCallback((id: string) => void navigate({ to: "/s/$id", params: { id } }), [navigate]);

  useKeys({
    j: () => move(1),
    k: () => move(-1),
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    Enter: () => link.current?.click(),
    e: () => {
      const session = current();
      if (session && session.sessionStatus !== "Completed") archiveAt(session);
    },
    u: () => {
      const session = current();
      if (session) void markSeen(session, session.unread);
    },
  });

  return (
    <div className="inbox-scroll" ref={scroller}>
      <ul style={{ height: rows.getTotalSize() }} className="inbox-list">
        {rows.getVirtualItems().map(({ index, key, start, size }) => {
          const line = lines[index];
          if (!line) return null;
          const place = { transform: `translateY(${start}px)`, height: size };
          if (!("session" in line))
            return (
              <li key={key} style={place} className="inbox-line inbox-heading">
                <h2>{GROUP_TITLES[line.group]}</h2>
                <span className="muted">{line.count}</span>
              </li>
            );
          const isCurrent = index === currentIndex;
          return (
            <li
              key={key}
              style={place}
              className="inbox-line"
              aria-setsize={lines.length}
              aria-posinset={index + 1}
            >
              <Row
                session={line.session}
                current={isCurrent}
                link={isCurrent ? link : undefined}
                onFocus={setWanted}
                onOpen={onOpen}
                onArchive={onArchive}
              />
            </li>
          );
        })}
      </ul>
    </div>
  );
}

function useMedia(query: string): boolean {
  const [matches, setMatches] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const list = matchMedia(query);
    const change = () => setMatches(list.matches);
    list.addEventListener("change", change);
    return () => list.removeEventListener("change", change);
  }, [query]);
  return matches;
}
