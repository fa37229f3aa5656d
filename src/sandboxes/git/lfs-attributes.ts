import { bytesOf, octal } from "./git-paths.ts";

/** Longer lines git does not read, bytes. */
const MAX_LINE = 2_000;

/**
 * A line of a checkout's own attributes, for a file that is in the commit itself although its .gitattributes give it to Git LFS: it
 * stays so. Otherwise git, which reads young files again, would have each of them changed by a run that never touched it.
 */
export function plainLine(path: string): string[] {
  const pattern = Array.from(bytesOf(path) ?? [], patternByte).join("");
  const line = `"/${pattern}" -filter`;
  return pattern === "" || line.length > MAX_LINE ? [] : [line];
}

function patternByte(byte: number): string {
  const character = String.fromCharCode(byte);
  if (/[\w./-]/.test(character)) return character;
  const escaped = `\\${octal(byte)}`;
  // A pattern that is quoted: what has a meaning in it has a backslash before it.
  return /[*?[\\]/.test(character) ? `\\134${escaped}` : escaped;
}
