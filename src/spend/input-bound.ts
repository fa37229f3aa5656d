import { sharedBytes } from "./shared-bytes.ts";

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
