import type { Tokens } from "./prices.ts";

/** What an open call has used, written down in case that its process dies before its end. */
export interface Progress {
  /** Its input is known: written down at once. */
  begin(): void;
  /** More of its answer has passed: written down soon, once for all that passes until then. */
  grew(): void;
  end(): void;
}

/** Between two records: short at first, since most of what is lost of a short answer is its beginning. */
const FIRST_MS = 250;
const MOST_MS = 1_000;

/** @param options.used so far. @param options.record takes what is to be written, as it is when that is done. It must not throw. */
export function createProgress(options: {
  used: () => Tokens;
  record: (tokens: () => Tokens) => void;
}): Progress {
  const { used, record } = options;
  let timer: Timer | undefined;
  let isOver = false;
  /** It is on its way, and takes along what comes meanwhile. */
  let isQueued = false;
  let last = 0;
  let pause = FIRST_MS;
  const wait = () => {
    timer = setTimeout(report, pause);
    pause = Math.min(pause * 2, MOST_MS);
  };
  const written = () => {
    isQueued = false;
    const tokens = used();
    const came = tokens.output - last;
    last = tokens.output;
    if (came > 0 && !isOver && !timer) wait();
    // Who dies does so between two records, on average in the middle. When nothing has come any more, the next one says exactly that.
    return { ...tokens, output: tokens.output + Math.ceil(came / 2) };
  };
  const report = () => {
    timer = undefined;
    isQueued = true;
    record(written);
  };
  return {
    begin() {
      clearTimeout(timer);
      report();
    },
    grew() {
      if (!timer && !isQueued) wait();
    },
    end() {
      isOver = true;
      clearTimeout(timer);
    },
  };
}
