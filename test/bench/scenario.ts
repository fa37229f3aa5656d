/** What a scenario of the bench gets and returns. One file in scenarios/ each; `scenarios/index.ts` lists them. */

/** One measure: a sample per round, and one of its reference in the same round, taken in turns with it. */
export interface Figure {
  /** What was measured, as a row of docs/PERFORMANCE.md: `list of 50`. */
  measure: string;
  unit: "requests/s" | "prompts/s" | "lines/s" | "rows/s" | "ms" | "MB" | "% of a core";
  samples: number[];
  /** The limit of the machine, as near as a few lines without our work come to it. In the same unit. */
  reference?: { name: string; samples: number[] };
  /** Of the ratio to the reference when there is one, else of the median. */
  goal?: { atLeast: number } | { atMost: number };
  /** Further numbers by name with their unit, like `{ "our CPU, µs/request": 210 }`. Medians over the rounds. */
  details?: Record<string, number>;
}

export interface Bench {
  /** Rounds of each measure; each has a sample of ours and one of the reference. */
  readonly rounds: number;
  /** Seconds a sample of a rate takes. */
  readonly seconds: number;
  /** Another implementation of the contract to measure in the same rounds, by scenarios that are HTTP alone. */
  readonly target: { url: string; token: string | undefined } | undefined;
  /** The compiled executable. */
  readonly binary: string;
  /** A folder that is removed at the end. */
  readonly folder: string;
  /** Progress, on stderr. */
  say(text: string): void;
  /** Private servers, started when first asked for and stopped at the end; also in TEST_DATABASE_URL and TEST_REDIS_URL. */
  postgres(): Promise<{ url: string; pid: number }>;
  redis(): Promise<{ url: string; pid: number }>;
}

export interface Scenario {
  /** As it is named on the command line. */
  readonly name: string;
  /** One line for the table's heading: what is measured, and against what. */
  readonly about: string;
  /** Whether `--target` can be measured. */
  readonly overHttp?: boolean;
  run(bench: Bench): Promise<Figure[]>;
}

/** Takes a sample of each in turns, in a new order each round, so that what the machine does meanwhile meets all of them. */
export async function interleave<Name extends string>(
  rounds: number,
  takes: Record<Name, () => Promise<number>>,
): Promise<Record<Name, number[]>> {
  const names = Object.keys(takes) as Name[];
  const samples = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>;
  for (let round = 0; round < rounds; round += 1) {
    const order = names.map((_, n) => names[(n + round) % names.length] as Name);
    for (const name of order) samples[name].push(await takes[name]());
  }
  return samples;
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5);
}

/** @param share 0.95 for p95. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
