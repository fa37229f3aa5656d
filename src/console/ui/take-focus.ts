import { type RefObject, useLayoutEffect, useRef } from "react";

/** A ref for what its user has just asked for, to write in it: it has the keyboard as soon as it is shown. */
export const takeFocus = (element: HTMLElement | null): void => element?.focus();

/**
 * The same for a field of a form that lies between other things and goes once it was used: then the keyboard is back where it
 * was. With the field, the browser would drop it, and the next Tab would begin at the top of the page.
 * @param wanted whether the user has asked for it; not for a draft that was there when the page was opened.
 */
export function useBorrowedFocus<Field extends HTMLElement>(wanted: boolean): RefObject<Field | null> {
  const field = useRef<Field>(null);
  useLayoutEffect(() => {
    const element = field.current;
    const before = document.activeElement;
    if (!wanted || !element) return;
    const form = element.closest("form") ?? element;
    element.focus();
    return () => {
      if (before instanceof HTMLElement && form.contains(document.activeElement))
        before.focus({ preventScroll: true });
    };
  }, [wanted]);
  return field;
}
