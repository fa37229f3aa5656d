import type { Config } from "../config/config.ts";
import type { Logger } from "../observability/logger.ts";
import { type CheckReport, checkSandbox } from "../sandbox-check/run.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * `prompt-backend sandbox-check`: attacks a sandbox of this machine from inside, and prints what came of it. SIGINT and
 * SIGTERM end it early; it cleans up first.
 * @returns the exit code: 1 if an attack was not blocked or could not be carried out, or there is no isolation, else 0.
 * @throws OperatorError with exit code 2 for an attack that does not exist.
 */
export async function runSandboxCheck(options: {
  config: Config;
  logger: Logger;
  json: boolean;
  only: readonly string[];
  print: (line: string) => void;
}): Promise<number> {
  const { json, print, only, ...rest } = options;
  const abort = new AbortController();
  const interrupt = () => abort.abort();
  for (const name of SIGNALS) process.on(name, interrupt);
  try {
    const { signal } = abort;
    const report = await checkSandbox({ ...rest, signal, ...(only.length > 0 && { only }) });
    print(json ? JSON.stringify(report, null, 2) : tableOf(report));
    const bad = report.results.some(({ result }) => result === "NOT BLOCKED" || result === "failed");
    return report.isolated && !bad ? 0 : 1;
  } finally {
    for (const name of SIGNALS) process.off(name, interrupt);
  }
}

function tableOf({ isolated, detail, results }: CheckReport): string {
  const count = (wanted: string) => results.filter(({ result }) => result === wanted).length;
  const width = Math.max(...results.map(({ id }) => id.length));
  const margin = " ".repeat(16 + width + 2);
  return [
    `${isolated ? "isolated" : "NOT ISOLATED"}: ${detail}`,
    "",
    ...results.flatMap(({ id, title, result, observed, stoppedBy }) => [
      `${result.padEnd(16)}${id.padEnd(width)}  ${title}`,
      `${margin}${result === "blocked" ? `${stoppedBy}: ` : ""}${observed}`,
    ]),
    "",
    `${results.length} attacks: ${count("blocked")} blocked, ${count("NOT BLOCKED")} NOT BLOCKED, ${count("failed")} failed, ${count("not applicable")} not applicable here`,
  ].join("\n");
}
