import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { createDatabase } from "../../harness/services.ts";
import { cpuOf } from "../cpu.ts";
import { makeBodies, makeCalls, type Pace, percentiles, type Run } from "../models/calls.ts";
import { type Bench, type Figure, median, type Scenario } from "../scenario.ts";

const STREAMS = 100;
/** Of one conversation each, as agents with helpers have them. */
const RUNS = 25;
const CALLS = 300;
/** A fast model: its answer of 200 events takes three seconds. */
const REAL: Pace = { thinksMs: 600, events: 200, gapMs: 15 };
/** Within which the first streams begin: the time of one. */
const SPREAD_MS = REAL.thinksMs + REAL.events * REAL.gapMs;
/** As fast as everybody can, for what a stream costs. */
const FLAT: Pace = { thinksMs: 0, events: 200, gapMs: 0 };

const WAYS = ["direct", "forwarded", "PostgreSQL", "embedded"] as const;
type Way = (typeof WAYS)[number];

interface Open {
  runs: Run[];
  pid: number;
}

/** Starts a process that says in its first line where it is. */
async function start<Line>(stack: AsyncDisposableStack, file: string, env: Record<string, string>) {
  const path = resolve(import.meta.dir, "../models", file);
  const child = Bun.spawn([process.execPath, path], {
    env: { PATH: process.env["PATH"] ?? "", ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  stack.defer(async () => {
    child.kill("SIGKILL");
    await child.exited;
  });
  let text = "";
  const decoder = new TextDecoder();
  for await (const part of child.stdout) {
    text += decoder.decode(part, { stream: true });
    if (text.includes("\n")) return { line: JSON.parse(text) as Line, pid: child.pid };
  }
  throw new Error(`${file} has ended`);
}

async function run(bench: Bench): Promise<Figure[]> {
  const { pid: postmaster } = await bench.postgres();
  await using stack = new AsyncDisposableStack();
  const upstream = await start<{ url: string }>(stack, "upstream.ts", {});
  const open = async (env: Record<string, string>): Promise<Open> => {
    const common = { BENCH_UPSTREAM: upstream.line.url, BENCH_RUNS: `${RUNS}` };
    const { line, pid } = await start<Run[]>(stack, "proxies.ts", { ...common, ...env });
    return { runs: line, pid };
  };
  const dataDir = join(bench.folder, "models");
  await mkdir(dataDir, { recursive: true });
  const ways: Record<Way, Open> = {
    direct: { runs: [{ url: upstream.line.url, token: "none" }], pid: upstream.pid },
    forwarded: await open({ BENCH_METER: "none" }),
    PostgreSQL: await open({ DATABASE_URL: (await createDatabase()).url }),
    embedded: await open({ DATA_DIR: dataDir }),
  };
  const bodies = makeBodies(CALLS, STREAMS);
  const burst = bodies.slice(-STREAMS);
  const take = async (way: Way, pace: Pace, of: typeof bodies, spreadMs: number) => {
    const { runs, pid } = ways[way];
    return cpuOf({ ours: pid, postmaster }, () => makeCalls(runs, of, { streams: STREAMS, pace, spreadMs }));
  };
  type Taken = Awaited<ReturnType<typeof take>>;
  const inTurns = async (
    what: string,
    ...of: Parameters<typeof take> extends [Way, ...infer Rest] ? Rest : never
  ) => {
    const taken = Object.fromEntries(WAYS.map((way) => [way, [] as Taken[]])) as Record<Way, Taken[]>;
    // The first one warms up.
    for (let round = -1; round < bench.rounds; round += 1) {
      bench.say(`  ${what}, round ${round + 1}`);
      for (const n of WAYS.keys()) {
        const way = WAYS[(n + round + 1) % WAYS.length] as Way;
        const one = await take(way, ...of);
        if (round >= 0) taken[way].push(one);
      }
    }
    return taken;
  };
  /** In each round, a percentile of one way less the same of the calls that go to the model directly. */
  const added = (taken: Record<Way, Taken[]>, way: Way, which: "p50" | "p95" | "p99") =>
    taken[way].map(
      ({ result }, round) =>
        percentiles(result.overheads)[which] -
        percentiles((taken.direct[round] as Taken).result.overheads)[which],
    );
  const figureOf = (taken: Record<Way, Taken[]>, way: Way, what: string, goal?: Figure["goal"]): Figure => ({
    ...{ measure: `${what}, ${way}: added p95`, unit: "ms", samples: added(taken, way, "p95") },
    ...(goal && { goal }),
    details: {
      "added p50, ms": median(added(taken, way, "p50")),
      "added p99, ms": median(added(taken, way, "p99")),
      "direct p95, ms": median(taken.direct.map(({ result }) => percentiles(result.overheads).p95)),
      ...cpuOfCall(taken, way),
    },
  });
  const cpuOfCall = (taken: Record<Way, Taken[]>, way: Way) => {
    const each = (of: (one: Taken) => number) =>
      median(taken[way].map((one) => (of(one) * 1000) / one.result.overheads.length));
    return {
      "proxy's CPU, ms/call": each(({ cpu }) => cpu.ours),
      ...(way === "PostgreSQL" && { "PostgreSQL's CPU, ms/call": each(({ cpu }) => cpu.postgres) }),
    };
  };

  const steady = await inTurns("100 streams", REAL, bodies, SPREAD_MS);
  const bursts = await inTurns("100 at once", { ...REAL, events: 20 }, burst, 0);
  const flat = await inTurns("as fast as can be", FLAT, bodies.slice(0, 2 * STREAMS), 0);
  const rate = (one: Taken) => one.result.overheads.length / (one.result.tookMs / 1000);
  const proxied = WAYS.filter((way) => way !== "direct");
  return [
    ...proxied.map((way) =>
      figureOf(steady, way, "first byte, 100 streams", way === "forwarded" ? undefined : { atMost: 2 }),
    ),
    ...proxied.map((way) => figureOf(bursts, way, "first byte, 100 calls at once")),
    ...proxied.map(
      (way): Figure => ({
        ...{ measure: `whole streams, as fast as can be, ${way}`, unit: "requests/s" },
        samples: flat[way].map(rate),
        reference: { name: "direct", samples: flat.direct.map(rate) },
        details: cpuOfCall(flat, way),
      }),
    ),
  ];
}

export const scenario: Scenario = {
  name: "models",
  about: `Calls of a model through the metered proxy, ${STREAMS} streams at a time of ${RUNS} runs, bodies of 50 to 300 KB, against calls that go there directly`,
  run,
};
