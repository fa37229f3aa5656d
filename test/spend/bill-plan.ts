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

/** After these a run is over. */
const endsRun = (trouble: Trouble) => /^(?:cancelled|refused)/.test(trouble);
/** What its input has cost is then an estimate, which is only good when its API has told of an answer before. */
const isUntold = (trouble: Trouble) => trouble.endsWith("before the answer");

export interface Incident {
  trouble: Trouble;
  /** The answer that it happens to, and at which of its characters. */
  turn: number;
  at: number;
}

export interface Job {
  label: string;
  model: string;
  /** Of the model's answers, one for each call of a tool and the last. */
  lengths: readonly number[];
  incidents: readonly Incident[];
  /** Its caches are kept for an hour. */
  hour: boolean;
  /** It follows in the session of the job before it. */
  follows: boolean;
}

const MODELS = ["claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5"] as const;
const FOLLOWS_EVERY = 10;

export const jobText = (label: string) => `Please do ${label}.`;
export const helperText = (label: string) => `Be the helper of ${label}.`;

/** Each kind of trouble as often as the others, in random order. @param options.each how many troubles a job has. */
export function planJobs(options: { runs: number; each: number; random: Random }): Job[] {
  const { runs, each, random } = options;
  const troubles = Array.from({ length: runs * each }, (_, at) => TROUBLES[at % TROUBLES.length] as Trouble);
  const others = shuffled(
    troubles.filter((one) => !endsRun(one)),
    random,
  );
  const lists: Trouble[][] = Array.from({ length: runs }, () => []);
  for (const [index, trouble] of troubles.filter(endsRun).entries()) lists[index]?.push(trouble);
  for (const list of lists) list.unshift(...others.splice(0, each - list.length));
  return shuffled(lists, random).map((list, job) => {
    const first = isUntold(list[0] ?? "none") ? 1 : random.below(2);
    const lengths = Array.from({ length: first + each + random.below(2) }, () => 400 + random.below(800));
    return {
      label: `job-${job}`,
      model: random.pick(MODELS),
      lengths,
      incidents: list.map((trouble, index) => ({
        ...{ trouble, turn: first + index },
        at: 100 + random.below((lengths[first + index] ?? 0) - 200),
      })),
      hour: random.below(4) === 0,
      follows: job % FOLLOWS_EVERY === FOLLOWS_EVERY - 1,
    };
  });
}

function shuffled<T>(list: readonly T[], random: Random): T[] {
  const left = [...list];
  return list.map(() => left.splice(random.below(left.length), 1)[0] as T);
}
