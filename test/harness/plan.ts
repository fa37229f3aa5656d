import { type SQL, sql } from "drizzle-orm";
import { type Orm, rowsOf } from "../../src/db/client.ts";

interface Plan {
  "Node Type": string;
  "Relation Name"?: string;
  "Index Name"?: string;
  "Actual Rows": number;
  "Actual Loops": number;
  Plans?: Plan[];
}

const flat = (plan: Plan | undefined): Plan[] => (plan ? [plan, ...(plan.Plans ?? []).flatMap(flat)] : []);

/** Runs a query. @returns what it read of tables: by which index, if any, and how many rows, of all loops together. */
export async function scansOf(
  orm: Orm,
  query: SQL,
): Promise<{ table: string; index: string; rows: number }[]> {
  const [row] = await rowsOf<{ "QUERY PLAN": { Plan: Plan }[] }>(
    orm,
    sql`explain (analyze, format json, timing off) ${query}`,
  );
  return flat(row?.["QUERY PLAN"][0]?.Plan)
    .filter((one) => one["Relation Name"] !== undefined)
    .map((one) => ({
      table: one["Relation Name"] ?? "",
      index: one["Index Name"] ?? one["Node Type"],
      rows: one["Actual Rows"] * one["Actual Loops"],
    }));
}

/** The same of what a function executes, a single query whose rows it can do without. */
export async function scansOfCall(orm: Orm, call: (orm: Orm) => Promise<unknown>) {
  let scans: Awaited<ReturnType<typeof scansOf>> = [];
  const explaining = {
    async execute(query: SQL) {
      scans = await scansOf(orm, query);
      return [];
    },
  };
  await call(explaining as unknown as Orm);
  return scans;
}
