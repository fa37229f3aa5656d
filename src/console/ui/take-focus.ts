/** A ref for what its user has just asked for, to write in it: it has the keyboard as soon as it is shown. */
export const takeFocus = (element: HTMLElement | null): void => element?.focus();
