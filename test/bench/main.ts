import { resolve } from "node:path";
import { choose, parseBenchArguments, UsageError, usage } from "./arguments.ts";
import { openBench } from "./machine.ts";
import { describeRun, type Results, readResults, tables, toJson } from "./report.ts";
import type { Scenario } from "./scenario.ts";
import { scenarios } from "./scenarios/index.ts";
import { writeDocument } from "./write.ts";

/** `bun run bench [SCENARIO...] [OPTION...]`; --help says more. */
async function main(): Promise<void> {
  const options = parseBenchArguments(process.argv.slice(2), process.env);
  if (options.help) return void process.stdout.write(usage(scenarios));
  const own = new Map<string, Scenario>();
  for (const one of options.scenarios.filter((name) => name.endsWith(".ts"))) own.set(one, await load(one));
  const names = options.scenarios.map((one) => own.get(one)?.name ?? one);
  const chosen = choose([...own.values(), ...scenarios], names);
  const [before, from] = await Promise.all([options.before, options.from].map(readResults));
  const results = from ?? (await measure(chosen, options));
  process.stdout.write(options.json ? toJson(results) : tables(results, before));
  if (options.write) await writeDocument(results, before);
}

/** A scenario that is not in the list yet. */
async function load(file: string): Promise<Scenario> {
  const { scenario } = (await import(resolve(file))) as { scenario?: Scenario };
  if (!scenario) throw new UsageError(`${file} exports no scenario`);
  return scenario;
}

async function measure(
  chosen: readonly Scenario[],
  options: ReturnType<typeof parseBenchArguments>,
): Promise<Results> {
  await using bench = await openBench(options);
  const results: Results = { ...(await describeRun(options)), scenarios: [] };
  for (const { name, about, run } of chosen) {
    bench.say(`${name}: ${about}`);
    try {
      results.scenarios.push({ name, about, figures: await run(bench) });
    } catch (error) {
      // What the others have measured is kept.
      bench.say(`${name} failed: ${(error as Error).stack}`);
      process.exitCode = 1;
    }
  }
  return results;
}

try {
  await main();
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`${error.message}\nbun run bench --help shows what there is.\n`);
  process.exitCode = 2;
}
