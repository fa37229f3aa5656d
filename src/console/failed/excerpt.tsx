import { Scrollable } from "../session/scrollable.tsx";

/** Longer texts are scrolled. */
const TALL_LINES = 16;
const TALL_TEXT = 1_500;

/** Text as it is, of any length. */
export function Excerpt({ label, text }: { label: string; text: string }) {
  const tall = text.length > TALL_TEXT || text.split("\n").length > TALL_LINES;
  return (
    <Scrollable label={label} tall={tall}>
      {text}
    </Scrollable>
  );
}
