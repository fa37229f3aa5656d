import { type RefObject, useEffect, useRef } from "react";
import type { DlqDto } from "../../../sdk/src/index.ts";
import { toPage } from "../ui/take-focus.ts";

const ROW = "[data-entry]";

/** The keyboard's place in the list: the row that has the focus, or had it last. */
export function useRowFocus(list: RefObject<HTMLElement | null>, shown: readonly DlqDto[]) {
  const last = useRef<string>(undefined);
  /** Where the focus goes once the rows that were decided about are gone. */
  const place = useRef<number>(undefined);

  const focus = (id: string) => {
    last.current = id;
    list.current?.querySelector<HTMLElement>(`[data-entry="${CSS.escape(id)}"]`)?.focus();
  };
  const current = (): string | undefined => {
    const row = document.activeElement?.closest("li")?.querySelector<HTMLElement>(ROW);
    const id = row?.dataset["entry"] ?? last.current;
    return shown.some((entry) => entry.id === id) ? id : undefined;
  };
  const indexOf = (id: string | undefined) => shown.findIndex((entry) => entry.id === id);

  useEffect(() => {
    if (place.current === undefined || indexOf(last.current) >= 0) return;
    const next = shown[Math.min(place.current, shown.length - 1)];
    place.current = undefined;
    if (next) focus(next.id);
    else toPage();
  });

  return {
    current,
    focus,
    move(step: 1 | -1) {
      const next = shown[Math.max(0, Math.min(indexOf(current()) + step, shown.length - 1))];
      if (next) focus(next.id);
    },
    keepPlace() {
      last.current = current();
      place.current = Math.max(0, indexOf(last.current));
    },
  };
}
