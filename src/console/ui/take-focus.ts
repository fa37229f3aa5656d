import { type RefObject, useLayoutEffect, useRef } from "react";

/** A ref for what its user has just asked for, to write in it: it has the keyboard as soon as it is shown. */
export const takeFocus = (element: HTMLElement | null): void => element?.focus();

/** Gives the focus to anything, for as long as it stays there. */
export function giveFocus(element: HTMLElement): void {
  if (!element.hasAttribute("tabindex") && element.tabIndex < 0) {
    element.tabIndex = -1;
    element.addEventListener("blur", () => element.removeAttribute("tabindex"), { once: true });
  }
  element.focus({ preventScroll: true });
}

/** Whether nobody took the focus elsewhere: what is hidden meanwhile leaves it to something around itself, or to nothing. */
export function isLeftBy(from: Element | null): boolean {
  const { activeElement: at, body } = document;
  return at === null || at === body || at.contains(from);
}

let wanted = 0;

/** Gives the focus to what is there two frames later, after a scrolling, unless it went elsewhere meanwhile. */
export function focusSoon(find: () => HTMLElement | null | undefined): void {
  const from = document.activeElement;
  const own = ++wanted;
  requestAnimationFrame(() =>
    requestAnimationFrame(() => {
      // Somebody may have begun to write, or pressed the key again.
      if (own === wanted && document.activeElement === from) find()?.focus({ preventScroll: true });
    }),
  );
}

/** The focus leaves a field or a list: keys are the page's, and Tab begins with what is first in it. */
export const toPage = (): void => document.querySelector("main")?.focus({ preventScroll: true });

/**
 * Once the component goes away with the focus in it, the focus returns to what had it when the component came.
 * @returns a ref for its outermost element.
 */
export function useReturnFocus<T extends HTMLElement>(): RefObject<T | null> {
  const opener = useRef(document.activeElement);
  const own = useRef<T>(null);
  useLayoutEffect(() => {
    const element = own.current;
    return () => {
      const { activeElement: at } = document;
      const { current } = opener;
      if (at !== document.body && !element?.contains(at)) return;
      if (current instanceof HTMLElement && current !== document.body && current.isConnected)
        giveFocus(current);
    };
  }, []);
  return own;
}
