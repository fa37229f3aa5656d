import { useEffect, useRef } from "react";

/** Keys of a page, as `KeyboardEvent.key` has them, and what they do. */
export type Keys = Readonly<Record<string, (event: KeyboardEvent) => void>>;

/** Where a key is text, or belongs to a component. */
const TYPING =
  "input:not([type=checkbox], [type=radio], [type=range]), textarea, select, [contenteditable], [role=dialog], [role=menu], [role=listbox]";

/** What Enter presses. */
const PRESSED = "a[href], button, summary";

/** Keys that move may be held down. What the others do is done once, however long they are pressed. */
const HELD = /^(?:j|k|n|p|Arrow.+)$/;

/**
 * Keys of the whole page while the component is shown; not while the user types, nor with Ctrl, Alt or Meta.
 * @param place where they are heard: on the window, after those of the document. There the frame has what every page has,
 * so that a page may use a key for something else.
 */
export function useKeys(keys: Keys, place: Document | Window = document): void {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing)
        return;
      if (
        event.target instanceof Element &&
        event.target.closest(event.key === "Enter" ? `${PRESSED}, ${TYPING}` : TYPING)
      )
        return;
      const act = latest.current[event.key];
      if (!act) return;
      event.preventDefault();
      if (!event.repeat || HELD.test(event.key)) act(event);
    };
    place.addEventListener("keydown", press as EventListener);
    return () => place.removeEventListener("keydown", press as EventListener);
  }, [place]);
}
