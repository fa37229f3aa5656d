import { cpus, totalmem } from "node:os";
import { UsageError } from "./arguments.ts";
import { type Bench, type Figure, median } from "./scenario.ts";

export interface ScenarioResult {
  name: string;
  about: string;
  figures: Figure[];
}

/** What `--json` writes, and `--before` and `--from` read. */
export interface Results {
  at: string;
  /** What was measured: the commit, unless `--label` says it. */
  label: string;
  machine: string;
  rounds: number;
  seconds: number;
  scenarios: ScenarioResult[];
}

const MISSING = "–";

export async function describeRun(
  options: Pick<Bench, "rounds" | "seconds"> & { label: string | undefined },
) {
  const { rounds, seconds } = options;
  const git = Bun.spawn(["git", "describe", "--always", "--dirty", "--exclude=*"], {
    cwd: import.meta.dir,
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [{ model = "unknown" } = {}] = cpus();
  const memory = Math.round(totalmem() / 1024 ** 3);
  return {
    at: new Date().toISOString(),
    label: options.label ?? ((await git.stdout.text()).trim() || "unknown"),
    machine: `${cpus().length} cores (${model.trim()}), ${memory} GB, Bun ${Bun.version}`,
    rounds,
    seconds,
  };
}

/** @throws UsageError where the file is not of this bench. */
export async function readResults(file: string | undefined): Promise<Results | undefined> {
  if (file === undefined) return undefined;
  const results: Results = await Bun.file(file)
    .json()
    .catch((error: Error) => {
      throw new UsageError(`${file}: ${error.message}`);
    });
  if (!Array.isArray(results.scenarios)) throw new UsageError(`${file} has no results of the bench`);
  return results;
}

/** Each measure with what was made of its samples, for other programs. */
export function toJson(results: Results): string {
  const scenarios = results.scenarios.map((one) => ({
    ...one,
    figures: one.figures.map((figure) => ({
      ...figure,
      median: median(figure.samples),
      ratio: ratioOf(figure),
      met: isMet(figure),
    })),
  }));
  return `${JSON.stringify({ ...results, scenarios }, null, 2)}\n`;
}

/** Ours to the reference: of each round where there are pairs, because the machine was the same for both; their median. */
export function ratioOf({ samples, reference }: Figure): number | undefined {
  if (!reference) return undefined;
  if (samples.length !== reference.samples.length) return median(samples) / median(reference.samples);
  return median(samples.map((one, n) => one / (reference.samples[n] ?? Number.NaN)));
}

/** What the goal is about. */
export function measured(figure: Figure): number {
  return ratioOf(figure) ?? median(figure.samples);
}

/** Undefined without a goal. */
export function isMet(figure: Figure): boolean | undefined {
  const { goal } = figure;
  if (!goal) return undefined;
  return "atLeast" in goal ? measured(figure) >= goal.atLeast : measured(figure) <= goal.atMost;
}

export function goalText({ goal, unit, reference }: Figure): string {
  if (!goal) return MISSING;
  const what = reference ? "" : ` ${unit}`;
  return "atLeast" in goal ? `≥ ${number(goal.atLeast)}${what}` : `≤ ${number(goal.atMost)}${what}`;
}

/** Three digits that count, and thousands apart. */
export function number(value: number): string {
  if (!Number.isFinite(value)) return MISSING;
  const size = Math.abs(value);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  return value.toLocaleString("en", { maximumFractionDigits: digits });
}

export function tables(results: Results, before?: Results): string {
  return results.scenarios.map((one) => `## ${one.name}\n\n${section(one, results, before)}`).join("\n");
}

/** The tables of one scenario, and how they were measured. */
export function section(scenario: ScenarioResult, results: Results, before: Results | undefined): string {
  const { at, label, machine, rounds, seconds } = results;
  const earlier = before?.scenarios.find(({ name }) => name === scenario.name)?.figures;
  const run = `Measured ${at.slice(0, 10)} of ${label}: ${machine}; ${rounds} rounds, samples of ${seconds} s where a rate is measured.`;
  const than = earlier ? ` Before: ${before?.label}, ${before?.at.slice(0, 10)}.` : "";
  const parts = [`${scenario.about}\n\n${run}${than}`, figureTable(scenario.figures, earlier)];
  if (scenario.figures.some(({ details }) => details)) parts.push(detailTable(scenario.figures));
  return `${parts.join("\n\n")}\n`;
}

function figureTable(figures: readonly Figure[], earlier: readonly Figure[] | undefined): string {
  const head = ["measure", "unit", "median (from – to)", "reference", "ratio", "goal", "met"];
  if (earlier) head.push("before", "ratio before");
  const rows = figures.map((figure) => {
    const { reference, samples } = figure;
    const ratio = ratioOf(figure);
    const met = isMet(figure);
    const row = [
      figure.measure,
      figure.unit,
      spread(samples),
      reference ? `${reference.name}: ${spread(reference.samples)}` : MISSING,
      ratio === undefined ? MISSING : number(ratio),
      goalText(figure),
      met === undefined ? MISSING : met ? "yes" : "**no**",
    ];
    if (!earlier) return row;
    const was = earlier.find(({ measure }) => measure === figure.measure);
    const ratioThen = was && ratioOf(was);
    return [
      ...row,
      was ? number(median(was.samples)) : MISSING,
      ratioThen === undefined ? MISSING : number(ratioThen),
    ];
  });
  return table(head, rows);
}

function detailTable(figures: readonly Figure[]): string {
  const rows = figures.flatMap(({ measure, details = {} }) =>
    Object.entries(details).map(([name, value], n) => [n === 0 ? measure : "", name, number(value)]),
  );
  return table(["measure", "detail", "median"], rows);
}

function spread(samples: readonly number[]): string {
  const middle = number(median(samples));
  if (samples.length < 2) return middle;
  return `${middle} (${number(Math.min(...samples))} – ${number(Math.max(...samples))})`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}
