import { join } from "node:path";
import { readUntrusted } from "../shared/untrusted-file.ts";

/**
 * The most of CLAUDE.md that an agent gets, UTF-8 bytes, notice included. The text becomes part of one argument, which
 * Linux limits to 128 KiB; the rest is room for the option's name and for what is said about a remote sandbox.
 */
const INSTRUCTIONS_BYTES = 100 * 1024;
const NOTICE = "\n[The rest of CLAUDE.md was left out: too long.]";

/**
 * The repository's own instructions for agents, which `--setting-sources user` keeps Claude Code from reading. The
 * repository is not trusted: no symbolic link is followed (it could point to a file of this machine), only a regular file
 * is read, and no more of it than can be used.
 * @returns at most `INSTRUCTIONS_BYTES`; undefined if there are none.
 */
export async function readInstructions(checkout: string): Promise<string | undefined> {
  // One byte more than is kept shows that there is more.
  const bytes = await readUntrusted(join(checkout, "CLAUDE.md"), INSTRUCTIONS_BYTES + 1);
  return bytes && (cutInstructions(bytes.toString("utf8")) || undefined);
}

/** The text, or, if it is over the limit, as many whole characters as fit, and a notice. Idempotent. */
export function cutInstructions(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= INSTRUCTIONS_BYTES) return text;
  let end = INSTRUCTIONS_BYTES - Buffer.byteLength(NOTICE);
  // Back to the first byte of a character.
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.toString("utf8", 0, end) + NOTICE;
}
