import { giveFocus, toPage } from "../ui/take-focus.ts";

/**
 * Keeps the keyboard's place. A browser drops the focus when what has it goes away or is hidden: a button that was pressed, a
 * row, a page, a part for which the window is too narrow now, a dialog over what has gone meanwhile. Then it goes to the nearest
 * thing that is left of what was around it, from where Tab goes on. What knows a better place takes the focus itself.
 * @param app what the page is drawn into; dialogs, menus and toasts stand beside it.
 */
export function keepFocus(app: HTMLElement): void {
  let focused: HTMLElement | undefined;
  /** What had the focus last in the page itself, and all that it stood in: from the inside out. */
  let trail: HTMLElement[] = [];
  document.addEventListener("focusin", ({ target }) => {
    if (!(target instanceof HTMLElement)) return;
    focused = target;
    if (!app.contains(target)) return;
    trail = [];
    for (let one: HTMLElement | null = target; one && one !== app; one = one.parentElement) trail.push(one);
  });
  const toWhatIsLeft = () => {
    const main = document.querySelector("main");
    const left = trail.find((one) => one.isConnected && one.checkVisibility());
    if (left && (left === trail[0] || (main?.contains(left) && left !== main))) giveFocus(left);
    else toPage();
  };
  document.addEventListener("focusout", () =>
    setTimeout(() => {
      if (document.activeElement !== document.body) return;
      if (focused?.isConnected && !focused.checkVisibility()) toWhatIsLeft();
      // Whoever clicks beside everything wants it so. What goes away has been noticed before.
      else focused = undefined;
    }),
  );
  new MutationObserver((records) => {
    const { activeElement } = document;
    const at = focused;
    if (!at || (activeElement && activeElement !== document.body)) return;
    if (!records.some(({ removedNodes }) => [...removedNodes].some((node) => node.contains(at)))) return;
    toWhatIsLeft();
  }).observe(document.body, { childList: true, subtree: true });
}
