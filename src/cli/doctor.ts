import { type Config, forgetSecrets, readConfig, secretsOf } from "../config/config.ts";
import { examine } from "../doctor/doctor.ts";
import type { Finding } from "../doctor/finding.ts";
import { OperatorError } from "../shared/errors.ts";

/**
 * `prompt-backend doctor`: checks everything that the service needs, and says how to fix what is wrong.
 * @returns the exit code: 1 if a check fails, else 0.
 */
export async function runDoctor(options: { json: boolean; print: (line: string) => void }): Promise<number> {
  const { json, print } = options;
  const { findings, secrets } = await examineEnvironment();
  const redact = (text: string) =>
    secrets.filter((one) => one.length >= 4).reduce((out, secret) => out.replaceAll(secret, "***"), text);
  const worst =
    (["fail", "warn"] as const).find((status) => findings.some((one) => one.status === status)) ?? "ok";
  print(redact(json ? JSON.stringify({ status: worst, checks: findings }, null, 2) : table(findings)));
  return worst === "fail" ? 1 : 0;
}

async function examineEnvironment(): Promise<{ findings: Finding[]; secrets: string[] }> {
  let config: Config;
  try {
    config = readConfig();
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    const fix = "correct the environment (prompt-backend --help lists every variable), then run doctor again";
    return {
      findings: [{ check: "configuration", status: "fail", detail: error.message, fix }],
      secrets: [],
    };
  }
  const forgotten = forgetSecrets();
  return { findings: await examine(config, forgotten), secrets: secretsOf(config) };
}

function table(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ check }) => check.length));
  const margin = " ".repeat(6 + width + 2);
  return findings
    .flatMap(({ check, status, detail, fix }) => [
      `${status.padEnd(6)}${check.padEnd(width)}  ${detail.replaceAll("\n", `\n${margin}`)}`,
      ...(fix === undefined ? [] : [`${margin}→ ${fix}`]),
    ])
    .join("\n");
}
