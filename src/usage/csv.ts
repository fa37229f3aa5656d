import type { UsageDto } from "./model.ts";

const COLUMNS = [
  ...(["runs", "turns", "calls", "estimated_calls", "input_tokens", "output_tokens"] as const),
  ...(["cache_read_tokens", "cache_write_tokens", "cost_usd"] as const),
];

/** The first line of a table as in RFC 4180. @param group the name of the first column. */
export const csvHead = (group: string): string => lineOf([group, ...COLUMNS]);

/** Its other lines. */
export const csvOf = (rows: readonly UsageDto[]): string =>
  rows.map((row) => lineOf([cell(row.key), ...COLUMNS.map((name) => plain(row[name]))])).join("");

const lineOf = (cells: readonly string[]): string => `${cells.join(",")}\r\n`;

/** Spreadsheets run what begins like a formula, and a model's name is what an agent made of it. */
function cell(text: string): string {
  const safe = /^[=+\-@＝＋－＠\t\r\n]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Without an exponent. */
const plain = (value: number): string =>
  Number.isInteger(value) ? String(value) : value.toFixed(9).replace(/0+$/, "");
