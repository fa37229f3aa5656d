/** Longer names are nobody's typing mistake, and comparing them would take time. */
const LONGEST = 40;

/** The known name that was probably meant, written in another case or up to two typing mistakes away. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  if (name.length > LONGEST) return undefined;
  const plain = (one: string) => one.toLowerCase().replace(/[^a-z0-9]/g, "");
  return [0, 1, 2]
    .map((edits) => known.find((one) => edits <= one.length / 3 && isWithin(edits, plain(name), plain(one))))
    .find((one) => one !== undefined);
}

/** Whether so many insertions, deletions, replacements or swaps of neighbours make one word of the other. */
function isWithin(edits: number, a: string, b: string): boolean {
  if (a === b) return true;
  if (edits === 0 || Math.abs(a.length - b.length) > edits) return false;
  let same = 0;
  while (a[same] === b[same]) same += 1;
  const [x, y] = [a.slice(same), b.slice(same)];
  const swapped = x.length > 1 && x[0] === y[1] && x[1] === y[0];
  return (
    isWithin(edits - 1, x.slice(1), y) ||
    isWithin(edits - 1, x, y.slice(1)) ||
    isWithin(edits - 1, x.slice(1), y.slice(1)) ||
    (swapped && isWithin(edits - 1, x.slice(2), y.slice(2)))
  );
}
