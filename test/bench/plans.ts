import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

/** Rows of a table from which on it is not read from end to end. */
export const LARGE_TABLE = 10_000;
const MAX_FILTERED = 1_000;
const MAX_READ = 10_000;
const MAX_MS = 20;

interface Node {
  "Node Type": string;
  "Relation Name"?: string;
  "Index Name"?: string;
  "Sort Space Type"?: string;
  "Hash Batches"?: number;
  "Disk Usage"?: number;
  "Actual Rows": number;
  "Actual Loops": number;
  "Rows Removed by Filter"?: number;
  "Rows Removed by Join Filter"?: number;
  Plans?: Node[];
}

interface Logged {
  "Query Text": string;
  Plan: Node;
  JIT?: unknown;
}

/** A statement with the worst of the plans that it was executed with. */
export interface Explained {
  text: string;
  executions: number;
  /** The median: what one took longer, while the machine did something else, says nothing of a plan. */
  ms: number;
  /** What is wrong with it; none: nothing. */
  offences: ReadonlySet<string>;
  /** One line a node, of its worst execution. */
  plan: string;
}

/** Reads on from where it was: what `log_destination=jsonlog` has written into a folder. */
export function openPlanLog(folder: string) {
  const read = new Map<string, number>();
  return {
    *next(): Generator<{ ms: number; logged: Logged }> {
      for (const name of readdirSync(folder)
        .filter((one) => one.endsWith(".json"))
        .sort()) {
        const path = join(folder, name);
        const from = read.get(name) ?? 0;
        if (statSync(path).size <= from) continue;
        const bytes = readFileSync(path).subarray(from);
        const end = bytes.lastIndexOf(10) + 1;
        read.set(name, from + end);
        for (const line of bytes.subarray(0, end).toString().split("\n")) {
          const { message = "" } = line === "" ? {} : (JSON.parse(line) as { message?: string });
          const [, ms, json] = /^duration: ([\d.]+) ms {2}plan:\n(.*)$/s.exec(message) ?? [];
          if (json) yield { ms: Number(ms), logged: JSON.parse(json) as Logged };
        }
      }
    },
  };
}

/** The same statement with other values, or with more of them. */
const keyOf = (text: string) =>
  text
    .replace(/\s+/g, " ")
    .replace(/\((?:\$\d+|default)(?:, (?:\$\d+|default))*\)/g, "($…)")
    .replace(/(\(\$…\))(?:, ?\(\$…\))+/g, "$1, …")
    .replace(/\$\d+/g, "$n")
    .trim();

/** @param sizes rows by table. */
export function judge(
  log: Iterable<{ ms: number; logged: Logged }>,
  sizes: ReadonlyMap<string, number>,
): Explained[] {
  const seen = Map.groupBy(log, ({ logged }) => keyOf(logged["Query Text"]));
  return seen
    .entries()
    .map(([text, executions]) => {
      const byTime = executions.toSorted((a, b) => a.ms - b.ms);
      const ms = byTime[Math.floor(byTime.length / 2)]?.ms ?? 0;
      const offences = new Set(executions.flatMap(({ logged }) => offencesOf(logged, sizes).toArray()));
      if (ms > MAX_MS) offences.add(`> ${MAX_MS} ms`);
      const worst = byTime.at(-1)?.logged.Plan;
      return {
        text,
        executions: executions.length,
        ms,
        offences,
        plan: worst ? outline(worst).join("\n") : "",
      };
    })
    .toArray();
}

const flat = (node: Node): Node[] => [node, ...(node.Plans ?? []).flatMap(flat)];
const named = (node: Node) => node["Index Name"] ?? node["Relation Name"] ?? "";

function* offencesOf({ Plan, JIT }: Logged, sizes: ReadonlyMap<string, number>) {
  if (JIT !== undefined) yield "JIT";
  for (const node of flat(Plan)) {
    const loops = node["Actual Loops"];
    if (loops === 0) continue;
    const table = node["Relation Name"];
    if (node["Node Type"] === "Seq Scan" && (sizes.get(table ?? "") ?? 0) > LARGE_TABLE)
      yield `sequential scan of ${table}`;
    if (node["Sort Space Type"] === "Disk") yield "sort on disk";
    if ((node["Hash Batches"] ?? 1) > 1 || (node["Disk Usage"] ?? 0) > 0) yield "hash on disk";
    const removed = (node["Rows Removed by Filter"] ?? 0) + (node["Rows Removed by Join Filter"] ?? 0);
    if (removed * loops > MAX_FILTERED) yield `filters > ${MAX_FILTERED} rows of ${named(node)}`;
    if (/Scan$/.test(node["Node Type"]) && table !== undefined && node["Actual Rows"] * loops > MAX_READ)
      yield `reads > ${MAX_READ} rows of ${named(node)}`;
  }
}

function outline(node: Node, depth = 0): string[] {
  const { "Actual Rows": rows, "Actual Loops": loops, "Rows Removed by Filter": removed } = node;
  const at = named(node);
  const line = `${"  ".repeat(depth)}${node["Node Type"]}${at && ` ${at}`}: ${rows} × ${loops}${removed ? `, ${removed} filtered` : ""}`;
  return [line, ...(node.Plans ?? []).flatMap((one) => outline(one, depth + 1))];
}
