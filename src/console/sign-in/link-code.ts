const codeOf = (): string | null =>
  location.pathname === "/" ? new URLSearchParams(location.hash.slice(1)).get("code") : null;

/** Whether the page was opened by a sign-in link, `/#code=…`. */
export const hasLinkCode = (): boolean => codeOf() !== null;

/** The code of a sign-in link. A fragment is in no log, and is removed from the address at once. */
export function takeLinkCode(): string | undefined {
  const code = codeOf();
  if (code === null) return undefined;
  history.replaceState(history.state, "", location.pathname + location.search);
  return code;
}
