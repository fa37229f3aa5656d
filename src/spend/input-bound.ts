/**
 * How many tokens a request's input can have at most. A token is at least one byte; and what a request shares with an earlier one of
 * its run has no more tokens than that one had, which its API has said. Conversations grow at their end, so the bound is close.
 */
export interface InputBound {
  /** @returns tokens. */
  of(model: string, body: Uint8Array): number;
  /** Records what the API has counted. */
  learn(model: string, body: Uint8Array, tokens: number): void;
}

/** An agent has a few conversations at once: its own, and those of its helpers. */
const MOST_KNOWN = 6;
const MOST_KNOWN_BYTES = 8 * 1024 * 1024;
/** What APIs add to a request that is not in it, such as the instructions for tools; and tokens that straddle a border. */
const ADDED_TOKENS = 2_000;

export function createInputBound(): InputBound {
  let known: { model: string; body: Uint8Array; tokens: number }[] = [];
  return {
    of(model, body) {
      const bounds = known
        .filter((one) => one.model === model)
        .map((one) => one.tokens + body.length - sharedBytes(one.body, body));
      return Math.min(body.length, ...bounds) + ADDED_TOKENS;
    },
    learn(model, body, tokens) {
      if (body.length > MOST_KNOWN_BYTES / 2) return;
      const kept = [{ model, body, tokens }, ...known].slice(0, MOST_KNOWN);
      let left = MOST_KNOWN_BYTES;
      known = kept.filter((one) => {
        left -= one.body.length;
        return left >= 0;
      });
    },
  };
}

/** The bytes that two bodies have in common at their beginnings and at their ends. */
function sharedBytes(one: Uint8Array, other: Uint8Array): number {
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
