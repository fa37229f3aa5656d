/** Longest name of a file, bytes of UTF-8: file systems have 255. */
const MAX_NAME_BYTES = 200;

/**
 * A name that is safe as a file's, whatever was sent: no folder, no control characters nor those that turn the direction of
 * text, not too long. "" if nothing is left of it.
 */
export function safeName(name: string): string {
  const last = name.split(/[/\\]/).at(-1) ?? "";
  const plain = last
    .toWellFormed()
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "")
    .trim();
  return /^\.*$/.test(plain) ? "" : shortened(plain, MAX_NAME_BYTES);
}

/** The same name, or one with a number where `taken` has it, in any case: some file systems know no difference. */
export function uniqueName(name: string, taken: ReadonlySet<string>): string {
  let unique = name;
  for (let n = 2; taken.has(unique.toLowerCase()); n += 1) {
    const { stem, end } = parted(name);
    unique = `${shortened(stem, MAX_NAME_BYTES - Buffer.byteLength(end) - 4)}-${n}${end}`;
  }
  return unique;
}

/** What is behind the last dot, and the dot, if it is short enough to say what the file is. */
function parted(name: string): { stem: string; end: string } {
  const [, stem = name, end = ""] = /^(.+)(\.[^.]{1,16})$/s.exec(name) ?? [];
  return { stem, end };
}

/** Cuts the middle of a name, so that its end still says what it is. */
function shortened(name: string, maxBytes: number): string {
  if (Buffer.byteLength(name) <= maxBytes) return name;
  const { stem, end } = parted(name);
  const room = maxBytes - Buffer.byteLength(end);
  let kept = "";
  let bytes = 0;
  for (const character of stem) {
    bytes += Buffer.byteLength(character);
    if (bytes > room) break;
    kept += character;
  }
  return kept + end;
}
