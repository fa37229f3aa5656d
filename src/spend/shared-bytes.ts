/** The bytes that two bodies have in common at their beginnings and at their ends. */
export function sharedBytes(one: Uint8Array, other: Uint8Array): number {
  const shortest = Math.min(one.length, other.length);
  const head = longest(shortest, (from, to) => same(one.subarray(from, to), other.subarray(from, to)));
  const tail = longest(shortest - head, (from, to) =>
    same(
      one.subarray(one.length - to, one.length - from),
      other.subarray(other.length - to, other.length - from),
    ),
  );
  return head + tail;
}

const same = (one: Uint8Array, other: Uint8Array) => Buffer.compare(one, other) === 0;

/** Each byte is compared once or twice: bodies are long, and there are several. */
const STEP = 16 * 1024;

/** The largest size up to `most` in which all is the same. @param isSame of the part from one size to another. */
function longest(most: number, isSame: (from: number, to: number) => boolean): number {
  let from = 0;
  while (from < most && isSame(from, Math.min(from + STEP, most))) from = Math.min(from + STEP, most);
  // The first difference is in this part, if there is one.
  for (let to = Math.min(from + STEP, most); from < to; ) {
    const middle = Math.ceil((from + to) / 2);
    if (isSame(from, middle)) from = middle;
    else to = middle - 1;
  }
  return from;
}
