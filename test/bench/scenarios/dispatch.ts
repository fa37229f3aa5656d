import { join } from "node:path";
import { Queue, Worker } from "bullmq";
import { type Combination, createDeployment, startBackend } from "../../harness/backend.ts";
import { makeRepository } from "../../harness/repository.ts";
import { until } from "../../harness/until.ts";
import { type Bench, type Figure, median, quantile, type Scenario } from "../scenario.ts";

/** Prompts of one combination, over all rounds. */
const PROMPTS = 100;
const GOALS: Partial<Record<Combination, readonly [p50: number, p95: number]>> = {
  redis: [35, 60],
  embedded: [50, 80],
};
/** Prints when it starts, in nanoseconds since 1970. */
export const AGENT = ["sh", "-c", "date +%s%N; cat >/dev/null"] as const;
const now = () => performance.timeOrigin + performance.now();

/** From the reply that accepts a prompt until its agent starts. Returns when the sandbox is back. */
export async function waitOf(
  backend: Awaited<ReturnType<typeof startBackend>>,
  path: string,
  timeoutMs = 30_000,
): Promise<number> {
  const { sessionId, promptId } = await backend.submit(path, "Prompt");
  const repliedAt = now();
  const startedAt = await until(
    async () => Number(/\b(\d{19})\b/.exec(JSON.stringify(await backend.messages(promptId)))?.[1] ?? 0) / 1e6,
    { what: "the agent to start", timeoutMs },
  );
  await backend.waitForStatus(sessionId, "NeedsReviewIpReturned");
  return startedAt - repliedAt;
}

export const agentEnv = { AGENT: "command", AGENT_COMMAND: JSON.stringify(AGENT), LOG_LEVEL: "warn" };

/** The same agent, in a plain clone, without anything around it. */
async function cloneAndSpawn(path: string, folder: string): Promise<number> {
  const began = now();
  const clone = join(folder, crypto.randomUUID());
  await Bun.$`git clone --quiet --local ${path} ${clone}`.quiet();
  const child = Bun.spawn([...AGENT], { cwd: clone, stdin: "ignore", stdout: "pipe" });
  const startedAt = Number(await child.stdout.text()) / 1e6;
  await Bun.$`rm -rf ${clone}`;
  return startedAt - began;
}

/** A job of a queue that does nothing else: from its addition until its worker has it. */
async function openBareQueue(url: string) {
  const connection = { url, maxRetriesPerRequest: null };
  const name = `bench-${crypto.randomUUID()}`;
  const queue = new Queue(name, { connection });
  let arrived: (at: number) => void = () => undefined;
  const worker = new Worker(name, async () => arrived(now()), { connection });
  await worker.waitUntilReady();
  return {
    async sample(): Promise<number> {
      const { promise, resolve } = Promise.withResolvers<number>();
      arrived = resolve;
      await queue.add("job", {}, { removeOnComplete: true });
      const addedAt = now();
      return Math.max(0, (await promise) - addedAt);
    },
    async [Symbol.asyncDispose]() {
      await worker.close();
      await queue.obliterate({ force: true });
      await queue.close();
    },
  };
}

async function measure(bench: Bench, combination: Combination): Promise<Figure[]> {
  const { url } = await bench.redis();
  await bench.postgres();
  await using deployment = await createDeployment(combination);
  await using backend = await startBackend(deployment, { env: agentEnv });
  await using bare = await openBareQueue(url);
  const repository = await makeRepository();
  const each = Math.ceil(PROMPTS / bench.rounds);
  const [waits, late, clones, jobs]: [number[], number[], number[], number[]] = [[], [], [], []];
  try {
    for (let n = 0; n < 3; n += 1) await waitOf(backend, repository.path);
    for (let round = 0; round < bench.rounds; round += 1) {
      const these: number[] = [];
      for (let n = 0; n < each; n += 1) {
        these.push(await waitOf(backend, repository.path));
        clones.push(await cloneAndSpawn(repository.path, bench.folder));
        jobs.push(await bare.sample());
      }
      waits.push(...these);
      late.push(quantile(these, 0.95));
      bench.say(`${combination}: round ${round + 1}, ${median(these).toFixed(1)} ms`);
    }
  } finally {
    await repository.remove();
  }
  const [p50, p95] = GOALS[combination] ?? [];
  const details = {
    "git clone --local + spawn, ms": median(clones),
    "the same, p95, ms": quantile(clones, 0.95),
    "a bare BullMQ job, ms": median(jobs),
    "the same, p95 of a job, ms": quantile(jobs, 0.95),
  };
  const measureOf = (what: string) => `reply → agent started, ${combination}, ${what}`;
  return [
    {
      measure: measureOf("p50"),
      unit: "ms",
      samples: waits,
      details,
      ...(p50 !== undefined && { goal: { atMost: p50 } }),
    },
    {
      measure: measureOf("p95"),
      unit: "ms",
      samples: late,
      ...(p95 !== undefined && { goal: { atMost: p95 } }),
    },
  ];
}

export const scenario: Scenario = {
  name: "dispatch",
  about:
    "From the reply until the agent's process starts, one prompt after the other; git clone --local + spawn and a bare job beside it",
  async run(bench) {
    process.env["TEST_BINARY"] = bench.binary;
    const figures: Figure[] = [];
    for (const combination of ["redis", "postgres", "embedded"] as const)
      figures.push(...(await measure(bench, combination)));
    return figures;
  },
};
