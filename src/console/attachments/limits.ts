import { formatBytes } from "../ui/bytes.ts";

/** What the service takes (src/attachments/): of one file, of all of a prompt, bytes; how many; and a side of a picture, pixels. */
const MAX_BYTES = 5 * 1024 * 1024;
const MAX_TOTAL_BYTES = 20 * 1024 * 1024;
const MAX_FILES = 20;
const MAX_SIDE = 8_000;

/** The same, for a person. */
export const LIMITS = `${formatBytes(MAX_BYTES)} each, ${formatBytes(MAX_TOTAL_BYTES)} and ${MAX_FILES} files together`;

/** Why a file of this size cannot be sent, and what to do. */
export function problemOfSize(size: number): string | undefined {
  if (size === 0) return "It is empty. Remove it.";
  if (size > MAX_BYTES)
    return `It is larger than ${formatBytes(MAX_BYTES)}, the most that a file may have. Remove it, and put it where the agent can fetch it.`;
  return undefined;
}

/** Why a picture of these sides cannot be sent, and what to do. */
export function problemOfSides(width: number, height: number): string | undefined {
  if (Math.max(width, height) <= MAX_SIDE) return undefined;
  return `It has ${width} × ${height} pixels, and a picture may have ${MAX_SIDE} on each side. Remove it, and attach a smaller one.`;
}

/** Why each of these, whose own size is right, cannot be sent beside those before it. Its place is undefined if it can. */
export function problemsTogether(sizes: readonly number[]): (string | undefined)[] {
  let count = 0;
  let total = 0;
  return sizes.map((size) => {
    if (count === MAX_FILES)
      return `A prompt may have ${MAX_FILES} attachments. Remove it, and send it with another prompt.`;
    if (total + size > MAX_TOTAL_BYTES)
      return `With it there are more than ${formatBytes(MAX_TOTAL_BYTES)}, the most that a prompt may carry. Remove it, and send it with another prompt.`;
    count += 1;
    total += size;
    return undefined;
  });
}
