/** What could not be kept in the browser: it lasts as long as the page. */
const unkept = new Map<string, string | undefined>();

/**
 * Keeps a text in this browser. Where that refuses (there is no more room, or its user lets no site keep anything), it lasts as
 * long as the page.
 * @param value undefined: forgets it.
 */
export function keep(key: string, value: string | undefined): void {
  unkept.delete(key);
  try {
    if (value === undefined) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    unkept.set(key, value);
  }
}

/** What `keep` has kept. */
export function kept(key: string): string | undefined {
  if (unkept.has(key)) return unkept.get(key);
  try {
    return localStorage.getItem(key) ?? undefined;
  } catch {
    return undefined;
  }
}
