import { parseArgs } from "node:util";

export interface BenchArguments {
  /** Names, or files with an own scenario. Empty: all. */
  scenarios: string[];
  help: boolean;
  json: boolean;
  write: boolean;
  rounds: number;
  seconds: number;
  target: { url: string; token: string | undefined } | undefined;
  binary: string | undefined;
  label: string | undefined;
  /** Files of results: to show beside, and to show instead of measuring. */
  before: string | undefined;
  from: string | undefined;
}

/** What is wrong with the command line, for its user. */
export class UsageError extends Error {}

const OPTIONS = {
  help: { type: "boolean", short: "h" },
  json: { type: "boolean" },
  write: { type: "boolean" },
  rounds: { type: "string" },
  seconds: { type: "string" },
  target: { type: "string" },
  token: { type: "string" },
  binary: { type: "string" },
  label: { type: "string" },
  before: { type: "string" },
  from: { type: "string" },
} as const;

export function usage(scenarios: readonly { name: string; about: string }[]): string {
  return `bun run bench [SCENARIO...] [OPTION...]

Measures the compiled executable, each measure beside a reference in the same rounds. Tables on stdout.

  --json               results as JSON on stdout instead
  --rounds N           rounds of each measure, default 5
  --seconds N          seconds a sample of a rate takes, default 3
  --target URL         measure another implementation of the contract in the same rounds, where that applies
  --token TOKEN        for --target: a user's token, default BENCH_TOKEN
  --binary FILE        the executable to measure, default TEST_BINARY, else one that is built of these sources
  --label TEXT         what is measured, default the commit of these sources
  --before FILE.json   show these earlier results beside the new ones
  --from FILE.json     show these results; measure nothing
  --write              write tables and plots into docs/PERFORMANCE.md and docs/images
  -h, --help

Scenarios, default all:
${scenarios.map(({ name, about }) => `  ${name.padEnd(20)} ${about}`).join("\n")}
`;
}

/** @throws UsageError */
export function parseBenchArguments(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>> = {},
): BenchArguments {
  const { values, positionals } = parse(args);
  const { target, token = env["BENCH_TOKEN"] } = values;
  if (target !== undefined && !/^https?:$/.test(URL.parse(target)?.protocol ?? ""))
    throw new UsageError(`--target must be an http or https URL, not ${target}`);
  if (values.token !== undefined && target === undefined) throw new UsageError("--token is for --target");
  return {
    scenarios: positionals,
    help: values.help ?? false,
    json: values.json ?? false,
    write: values.write ?? false,
    rounds: positive("--rounds", values.rounds ?? "5"),
    seconds: positive("--seconds", values.seconds ?? "3"),
    target: target === undefined ? undefined : { url: target.replace(/\/+$/, ""), token },
    binary: values.binary,
    label: values.label,
    before: values.before,
    from: values.from,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function positive(name: string, text: string): number {
  if (!/^[1-9]\d{0,4}$/.test(text))
    throw new UsageError(`${name} must be a whole number from 1, not ${text}`);
  return Number(text);
}

/**
 * The scenarios of these names; all without any.
 * @throws UsageError for a name that none has.
 */
export function choose<Named extends { name: string }>(
  scenarios: readonly Named[],
  names: readonly string[],
): Named[] {
  const known = scenarios.map(({ name }) => name).join(", ");
  if (names.length === 0) return [...scenarios];
  return names.map((wanted) => {
    const found = scenarios.find(({ name }) => name === wanted);
    if (!found) throw new UsageError(`there is no scenario ${wanted}; there are: ${known}`);
    return found;
  });
}
