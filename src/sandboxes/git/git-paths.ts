/**
 * Names of files are bytes to git, and text to everybody else. One that is not valid UTF-8, or begins with a quotation mark,
 * is written as git writes it: "caf\351.txt", quotation marks included.
 */

const ESCAPES: Readonly<Record<string, string>> = {
  "\x07": "a",
  "\b": "b",
  "\t": "t",
  "\n": "n",
  "\v": "v",
  "\f": "f",
  "\r": "r",
  '"': '"',
  "\\": "\\",
};
const BYTES = new Map(Object.entries(ESCAPES).map(([byte, letter]) => [letter, byte]));

/** A byte in three octal digits. */
export const octal = (byte: number): string => byte.toString(8).padStart(3, "0");

/** The name as text. */
export function pathIn(bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString("utf8");
  if (!text.startsWith('"') && Buffer.from(text).equals(bytes)) return text;
  const quoted = Array.from(bytes, (byte) => {
    const character = String.fromCharCode(byte);
    const letter = ESCAPES[character];
    if (letter !== undefined) return `\\${letter}`;
    return byte < 0x20 || byte > 0x7e ? `\\${octal(byte)}` : character;
  });
  return `"${quoted.join("")}"`;
}

/** The name's bytes; undefined if it is no name of a file in a repository. */
export function bytesOf(path: string): Uint8Array | undefined {
  const bytes = path.startsWith('"') ? unquoted(path) : Buffer.from(path);
  if (!bytes || bytes.includes(0)) return undefined;
  const parts = Buffer.from(bytes).toString("latin1").split("/");
  return parts.some((part) => part === "" || part === "." || part === "..") ? undefined : bytes;
}

/** @param folder "": the root. */
export function joinedPath(folder: string, name: string): string {
  const parts = [folder, name].flatMap((one) => (one === "" ? [] : [bytesOf(one) ?? Buffer.from(one)]));
  return pathIn(
    Buffer.concat(parts.flatMap((part, index) => (index > 0 ? [Buffer.from("/"), part] : [part]))),
  );
}

/** Bytes as an argument of a script, which `decode` reads (read-scripts.ts). */
export const encodedPath = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => `\\0${octal(byte)}`).join("");

function unquoted(path: string): Uint8Array | undefined {
  if (!/^"(?:[^"\\]|\\(?:[abtnvfr"\\]|[0-3][0-7]{2}))+"$/s.test(path)) return undefined;
  const parts = path
    .slice(1, -1)
    .match(/\\[0-3][0-7]{2}|\\.|[^\\]+/gs)
    ?.map((part) => {
      if (!part.startsWith("\\")) return Buffer.from(part);
      const octal = /^\\([0-3][0-7]{2})$/.exec(part)?.[1];
      if (octal !== undefined) return Buffer.from([Number.parseInt(octal, 8)]);
      return Buffer.from(BYTES.get(part.slice(1)) ?? "", "latin1");
    });
  return parts && Buffer.concat(parts);
}
