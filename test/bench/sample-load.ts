import { type Cpu, cpuOf } from "./cpu.ts";
import { type Load, load, type Request } from "./generator.ts";
import { type Bench, type Figure, interleave, median } from "./scenario.ts";

/** Who answers a request. */
export interface Side {
  request: Request;
  /** The process whose processor time it takes. Undefined on another machine. */
  pid?: number;
  /** Before each sample. */
  reset?: () => Promise<void>;
}

export interface Measure {
  measure: string;
  goal: { atLeast: number };
  ours: Side;
  reference: Side & { name: string };
  /** Ours with the embedded database: in the details. */
  embedded?: Side;
  /** Another implementation of the contract: a row of its own. */
  target?: Side | undefined;
}

type Name = "ours" | "reference" | "embedded" | "target";
type Sample = Load & Cpu;
const MICROSECONDS = 1e6;

/** Requests per second of all sides in turns, with latencies and processor time per request in the details. */
export async function sampleLoad(bench: Bench, measure: Measure, postmaster: number): Promise<Figure[]> {
  const { ours, reference, embedded, target } = measure;
  const sides = { ours, reference, ...(embedded && { embedded }), ...(target && { target }) };
  const seen: Partial<Record<Name, Sample[]>> = {};
  const sample = async (name: Name, { request, pid = 0, reset }: Side, seconds: number) => {
    await reset?.();
    const { result, cpu } = await cpuOf({ ours: pid, postmaster }, () =>
      load(request, { seconds, folder: bench.folder }),
    );
    bench.say(`  ${measure.measure}, ${name}: ${Math.round(result.rate)} requests/s`);
    return { ...result, ...cpu };
  };
  const takes = Object.fromEntries(
    Object.entries(sides).map(([key, side]) => {
      const name = key as Name;
      const samples: Sample[] = [];
      seen[name] = samples;
      return [
        name,
        async () => {
          // The first is for caches and compilers.
          if (samples.length === 0) await sample(name, side, bench.seconds);
          samples.push(await sample(name, side, bench.seconds));
          return samples.at(-1)?.rate ?? Number.NaN;
        },
      ];
    }),
  ) as Record<Name, () => Promise<number>>;
  const rates: Partial<Record<Name, number[]>> = await interleave(bench.rounds, takes);

  const beside = { name: reference.name, samples: rates.reference ?? [] };
  const figures: Figure[] = [
    {
      measure: measure.measure,
      unit: "requests/s",
      samples: rates.ours ?? [],
      reference: beside,
      goal: measure.goal,
      details: {
        ...details("ours", seen.ours),
        ...details("reference", seen.reference),
        ...(embedded && details("embedded", seen.embedded)),
      },
    },
  ];
  if (target)
    figures.push({
      measure: `${measure.measure}, --target`,
      unit: "requests/s",
      samples: rates.target ?? [],
      reference: beside,
      details: { "ours ÷ target": ratio(rates.ours, rates.target), ...latencies("target", seen.target) },
    });
  return figures;
}

function details(name: string, samples: readonly Sample[] = []): Record<string, number> {
  const each = (seconds: (one: Sample) => number) =>
    median(samples.map((one) => (seconds(one) / one.requests) * MICROSECONDS));
  return {
    ...(name === "embedded" && { "embedded, requests/s": median(samples.map(({ rate }) => rate)) }),
    ...latencies(name, samples),
    [`${name}, CPU of the process, µs/request`]: each(({ ours }) => ours),
    ...(name !== "embedded" && {
      [`${name}, CPU of PostgreSQL, µs/request`]: each(({ postgres }) => postgres),
    }),
  };
}

function latencies(name: string, samples: readonly Sample[] = []): Record<string, number> {
  return {
    [`${name}, p50 ms`]: median(samples.map(({ p50 }) => p50)),
    [`${name}, p99 ms`]: median(samples.map(({ p99 }) => p99)),
  };
}

const ratio = (some: readonly number[] = [], others: readonly number[] = []) =>
  median(some.map((one, n) => one / (others[n] ?? Number.NaN)));
