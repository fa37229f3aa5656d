/** What the search tells candidates by: so many characters, all of which every needle has. */
const PREFIX = 4;
/** Of a longer needle only the beginning is found when it is cut. */
const MAX_CUT = 512;
/** What the parts of ordinary words and addresses have nothing else than. */
const ORDINARY = /^[a-z _./:@-]*$/;

/**
 * @param onFound told the mark of each needle found.
 * @param parts whether parts of needles are found, too: where a line, a text of JSON or the whole begins or ends within one.
 * @returns the text with marks instead of needles.
 */
export type Search = (
  text: string,
  options?: { onFound?: (mark: string) => void; parts?: boolean },
) => string;

interface Cut {
  needle: string;
  from: number;
}

/**
 * Compiles a search for all needles at once: it looks at each position of a text once, and compares only where the next
 * characters begin a needle, or go on with one at the beginning of a line.
 * @param needles their marks, by text; none is shorter than PREFIX.
 */
export function createSearch(needles: ReadonlyMap<string, string>): Search {
  const begins = new Uint8Array(1 << 16);
  const byPrefix = new Map<string, string[]>();
  const goesOn = new Uint8Array(1 << 16);
  const cuts = new Map<string, Cut[]>();
  for (const needle of needles.keys()) {
    begins[hash(needle, 0)] = 1;
    addTo(byPrefix, needle.slice(0, PREFIX), needle);
    if (needle.length > MAX_CUT) continue;
    for (let from = 1; from <= needle.length - leastOf(needle); from += 1) {
      goesOn[hash(needle, from)] = 1;
      addTo(cuts, needle.slice(from, from + PREFIX), { needle, from });
    }
  }
  // Of two that begin alike, the longer one: nothing of it may remain.
  for (const some of byPrefix.values()) some.sort((a, b) => b.length - a.length);

  const find = (text: string, at: number, parts: boolean): { needle: string; length: number } | undefined => {
    const key = hash(text, at);
    if (begins[key] === 1) {
      const some = byPrefix.get(text.slice(at, at + PREFIX));
      const whole = some?.find((one) => text.startsWith(one, at));
      if (whole !== undefined) return { needle: whole, length: whole.length };
      const part = parts && longest(text, at, some?.map((needle) => ({ needle, from: 0 })) ?? []);
      if (part) return part;
    }
    if (!parts || goesOn[key] === 0 || !beginsAt(text, at)) return undefined;
    return longest(text, at, cuts.get(text.slice(at, at + PREFIX)) ?? []);
  };

  return (text, { onFound, parts = false } = {}) => {
    const pieces: string[] = [];
    let done = 0;
    for (let at = 0; at <= text.length - PREFIX; at += 1) {
      const key = hash(text, at);
      if (begins[key] === 0 && (!parts || goesOn[key] === 0)) continue;
      const found = find(text, at, parts);
      if (!found) continue;
      const mark = needles.get(found.needle) ?? "";
      onFound?.(mark);
      pieces.push(text.slice(done, at), mark);
      done = at + found.length;
      at = done - 1;
    }
    if (pieces.length === 0) return text;
    pieces.push(text.slice(done));
    return pieces.join("");
  };
}

/** The longest part of a needle that stands there: up to its end, or to where the text is cut. */
function longest(
  text: string,
  at: number,
  candidates: readonly Cut[],
): { needle: string; length: number } | undefined {
  let best: { needle: string; length: number } | undefined;
  for (const { needle, from } of candidates) {
    let length = PREFIX;
    while (from + length < needle.length && text[at + length] === needle[from + length]) length += 1;
    if (length < leastOf(needle) || length <= (best?.length ?? 0)) continue;
    if (from + length < needle.length && !endsAt(text, at + length)) continue;
    if (ORDINARY.test(text.slice(at, at + length))) continue;
    best = { needle, length };
  }
  return best;
}

/** Shorter parts would be found in everything: half of a short needle, 8 characters of a long one. */
const leastOf = ({ length }: string) => Math.max(PREFIX + 1, Math.min(8, Math.ceil(length / 2)));

const beginsAt = (text: string, at: number): boolean => {
  const before = text[at - 1];
  if (before === undefined || before === '"' || before === "\n" || before === "\r") return true;
  return (before === "n" || before === "r") && text[at - 2] === "\\";
};

const endsAt = (text: string, at: number): boolean => {
  const next = text[at];
  if (next === undefined || next === '"' || next === "\n" || next === "\r") return true;
  // JSON in JSON has several.
  while (text[at] === "\\") at += 1;
  return next === "\\" && /[nr"]/.test(text[at] ?? "");
};

function addTo<V>(map: Map<string, V[]>, key: string, value: V): void {
  const some = map.get(key);
  if (some) some.push(value);
  else map.set(key, [value]);
}

const hash = (text: string, at: number): number =>
  (text.charCodeAt(at) +
    text.charCodeAt(at + 1) * 31 +
    text.charCodeAt(at + 2) * 961 +
    text.charCodeAt(at + 3) * 29_791) &
  0xffff;
