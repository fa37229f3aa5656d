/** Controls, marks of direction, what has no width: nobody sees them, and they can make text look like another. */
const UNSEEN = /(?![\t\n])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Text of a stranger, with what would not be seen written out: `⟨U+202E⟩`. */
export const visible = (text: string): string =>
  text.replace(UNSEEN, (one) => `⟨U+${one.codePointAt(0)?.toString(16).toUpperCase().padStart(4, "0")}⟩`);
