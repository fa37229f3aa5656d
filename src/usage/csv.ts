import type { UsageDto } from "./model.ts";

const COLUMNS = [
  ...(["runs", "turns", "calls", "estimated_calls", "input_tokens", "output_tokens"] as const),
  ...(["cache_read_tokens", "cache_write_tokens", "cost_usd"] as const),
];

/**
 * A table as in RFC 4180. @param group the name of the first column.
 */
export function csvOf(group: string, rows: readonly UsageDto[]): string {
  const lines = rows.map((row) => [cell(row.key), ...COLUMNS.map((name) => plain(row[name]))]);
  return [[group, ...COLUMNS], ...lines].map((line) => `${line.join(",")}\r\n`).join("");
}

/** Spreadsheets run what begins like a formula, and a model's name is what an agent made of it. */
function cell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Without an exponent. */
const plain = (value: number): string =>
  Number.isInteger(value) ? String(value) : value.toFixed(9).replace(/0+$/, "");
