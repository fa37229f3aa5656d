import { NO_TOKENS, type Tokens } from "./prices.ts";
import { sharedBytes } from "./shared-bytes.ts";

/** What is known of a request's input before its API has said it. */
export interface InputEstimate {
  /**
   * Tokens that it has at most. A token is at least one byte; and what a request shares with an earlier one of its run has no more
   * tokens than that one had, which its API has said. Conversations grow at their end, so the bound is close.
   */
  most: number;
  /**
   * What it most likely is, for a request of which nobody will ever know: as large as its size says, and what the API had cached of the
   * most similar request before it is read from there.
   */
  likely: Tokens;
  /** Whether an earlier request of its run and model is known here. */
  isKnown: boolean;
}

export interface InputBound {
  of(model: string, body: Uint8Array): InputEstimate;
  /** Records what the API has counted. Not `isCounted`: what it most likely has, which bounds nothing. */
  learn(model: string, body: Uint8Array, tokens: Tokens, isCounted?: boolean): void;
}

/** Bytes of a token, about. */
const TOKEN_BYTES = 4;
/** An agent has a few conversations at once: its own, and those of its helpers. */
const MOST_KNOWN = 6;
const MOST_KNOWN_BYTES = 8 * 1024 * 1024;
/** What APIs add to a request that is not in it, such as the instructions for tools; and tokens that straddle a border. */
const ADDED_TOKENS = 2_000;

export function createInputBound(): InputBound {
  let known: { model: string; body: Uint8Array; tokens: Tokens; isCounted: boolean }[] = [];
  return {
    of(model, body) {
      const alike = known
        .filter((one) => one.model === model)
        .map((one) => ({ ...one, size: one.body.length, shared: sharedBytes(one.body, body) }));
      const bounds = alike
        .filter(({ isCounted }) => isCounted)
        .map(({ tokens, shared }) => inputOf(tokens) + body.length - shared);
      const [nearest] = alike.toSorted((one, other) => other.shared - one.shared);
      return {
        most: Math.min(body.length, ...bounds) + ADDED_TOKENS,
        isKnown: nearest !== undefined,
        likely: nearest
          ? likeBefore(nearest, body.length)
          : { ...NO_TOKENS, input: Math.ceil(body.length / TOKEN_BYTES) },
      };
    },
    learn(model, body, tokens, isCounted = true) {
      if (body.length > MOST_KNOWN_BYTES / 2) return;
      const kept = [{ model, body, tokens, isCounted }, ...known].slice(0, MOST_KNOWN);
      let left = MOST_KNOWN_BYTES;
      known = kept.filter((one) => {
        left -= one.body.length;
        return left >= 0;
      });
    },
  };
}

function likeBefore(before: { tokens: Tokens; size: number; shared: number }, size: number): Tokens {
  const { tokens, shared } = before;
  return splitLike(tokens, Math.ceil((inputOf(tokens) * size) / before.size), shared / before.size);
}

/**
 * So many tokens of input, in the kinds that they most likely have after a call with those.
 * @param share of its input that this one has, too.
 */
export function splitLike(tokens: Tokens, all: number, share = 1): Tokens {
  const cached = inputOf(tokens) - tokens.input;
  if (cached === 0) return { ...NO_TOKENS, input: all };
  const cacheRead = Math.min(all, Math.floor(cached * share));
  // It caches its end, as the one before did.
  const input = Math.min(all - cacheRead, tokens.input);
  const kind = tokens.cacheWrite1h > 0 ? "cacheWrite1h" : "cacheWrite";
  return { ...NO_TOKENS, cacheRead, input, [kind]: all - cacheRead - input };
}

/** All of it, cached or not. */
export const inputOf = ({ input, cacheRead, cacheWrite, cacheWrite1h }: Tokens): number =>
  input + cacheRead + cacheWrite + cacheWrite1h;
