/** A piece of a terminal's output. */
export interface AnsiPiece {
  text: string;
  className: string | undefined;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
const SGR = /\x1b\[([0-9;:]*)m/g;
/** Every other sequence moves a cursor, sets a title or the like: it is left out. */
const OTHERS =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: as above.
  /\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b\[[0-9;:?<=>]*[ -/]*[@-ln-~]|\x1b[ -/]*[0-Z\\^-~]|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f]/g;

const NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

/** What programs print for a terminal: colours and weights become classes, and nothing else of it has an effect. */
export function readAnsi(text: string): AnsiPiece[] {
  // A line that is written again, such as a progress bar: its last state counts.
  const shown = text.replace(/\r+\n/g, "\n").replace(/[^\n]*\r(?!$)/g, "");
  const pieces: AnsiPiece[] = [];
  const style = { bold: false, dim: false, colour: undefined as string | undefined };
  let from = 0;
  const push = (to: number) => {
    const piece = shown.slice(from, to).replace(OTHERS, "").replaceAll("\x1b", "");
    const names = [
      style.bold && "ansi-bold",
      style.dim && "ansi-dim",
      style.colour && `ansi-${style.colour}`,
    ];
    if (piece !== "") pieces.push({ text: piece, className: names.filter(Boolean).join(" ") || undefined });
  };
  for (const match of shown.matchAll(SGR)) {
    push(match.index);
    from = match.index + match[0].length;
    apply(style, (match[1] ?? "").split(/[;:]/).map(Number));
  }
  push(shown.length);
  return pieces;
}

function apply(style: { bold: boolean; dim: boolean; colour: string | undefined }, codes: number[]): void {
  for (let index = 0; index < codes.length; index += 1) {
    const code = codes[index] ?? 0;
    if (code === 0) Object.assign(style, { bold: false, dim: false, colour: undefined });
    else if (code === 1) style.bold = true;
    else if (code === 2) style.dim = true;
    else if (code === 22) Object.assign(style, { bold: false, dim: false });
    else if (code === 39) style.colour = undefined;
    else if (code >= 30 && code <= 37) style.colour = NAMES[code - 30];
    else if (code >= 90 && code <= 97) style.colour = NAMES[code - 90];
    // One of 256 colours, or red, green and blue: not in this page's palette.
    else if (code === 38 || code === 48) index += codes[index + 1] === 5 ? 2 : 4;
  }
}
