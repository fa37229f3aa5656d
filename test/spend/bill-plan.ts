import type { Random } from "../chaos/random.ts";

/** What goes wrong in a run, or is unusual; none: nothing. */
export const TROUBLES = [
  ...["429", "529", "500"],
  ...["the stream breaks", "overloaded in mid-stream"],
  ...["cancelled in mid-stream", "cancelled before the answer"],
  ...["kill -9 of the agent"],
  ...["kill -9 of the service in mid-stream", "kill -9 of the service while the model is silent"],
  "kill -9 of the service before the answer",
  ...["refused", "refused without output", "answered by another model", "a helper of another model", "none"],
] as const;
export type Trouble = (typeof TROUBLES)[number];

export interface Job {
  label: string;
  model: string;
  /** Of the model's answers, one for each call of a tool and the last. */
  lengths: readonly number[];
  trouble: Trouble;
  /** The answer that it happens to, and where in it. */
  turn: number;
  at: number;
  /** Its caches are kept for an hour. */
  hour: boolean;
  /** It follows in the session of the job before it. */
  follows: boolean;
}

const MODELS = ["claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5"] as const;
/** What a trouble of one kind does to others is over when its run is. */
const FOLLOWS_EVERY = 4;

export const jobText = (label: string) => `Please do ${label}.`;
export const helperText = (label: string) => `Be the helper of ${label}.`;

/** Each kind of trouble as often as the others, in random order. */
export function planJobs(runs: number, random: Random): Job[] {
  const troubles = Array.from({ length: runs }, (_, index) => TROUBLES[index % TROUBLES.length] as Trouble);
  for (let last = troubles.length - 1; last > 0; last -= 1) {
    const other = random.below(last + 1);
    [troubles[last], troubles[other]] = [troubles[other] as Trouble, troubles[last] as Trouble];
  }
  return troubles.map((trouble, index) => {
    const lengths = Array.from({ length: 2 + random.below(2) }, () => 400 + random.below(800));
    // Before its first answer, nothing is known of what its API has cached: what there is to go by are the answers before.
    const turn = trouble.endsWith("before the answer") ? 1 : random.below(lengths.length);
    return {
      label: `job-${index}`,
      model: random.pick(MODELS),
      lengths,
      trouble,
      turn,
      at: 100 + random.below((lengths[turn] ?? 0) - 200),
      hour: random.below(4) === 0,
      follows: index % FOLLOWS_EVERY === FOLLOWS_EVERY - 1,
    };
  });
}
