import type { prompt } from "../../src/db/tables.ts";
import type { Trace } from "./agent.ts";
import type { ModelRequest } from "./claude.ts";
import type { Cluster } from "./cluster.ts";
import type { Ledger } from "./users.ts";

type Row = typeof prompt.$inferSelect;

/**
 * Each completed prompt's agent must have had the work of the session's completed prompts before it in its checkout, at each of
 * its starts; and Claude Code must have sent their prompts to the model,
 * with each request, and the agent of ACP must know them, too. They must never begin without memory
 * and conversation: of the reasons that there are for that, none occurs in a chaos run.
 * @returns a line for each prompt whose agent did not know one before, and counts of what was compared.
 */
export function checkKnowledge(options: {
  rows: ReadonlyMap<string, Row>;
  ledger: Ledger;
  traces: readonly Trace[];
  requests: readonly ModelRequest[];
  /** Those that have done nothing, because their agents were not allowed to. */
  denied: ReadonlySet<string>;
  nodes: Cluster["nodes"];
}): { ignorant: string[]; counts: Record<string, number> } {
  const { rows, ledger, traces, requests, denied, nodes } = options;
  const starts = Map.groupBy(
    traces.filter(({ kind }) => kind === "start"),
    ({ id }) => id,
  );
  const asked = Map.groupBy(requests, ({ id }) => id);
  const ignorant: string[] = [];
  const counts: Record<string, number> = {};
  const count = (name: string) => {
    counts[name] = (counts[name] ?? 0) + 1;
  };
  const machines = endedOn(nodes);
  for (const id of adopted(nodes)) count(`adoptions of ${ledger.prompts.get(id)?.agent}, with output`);

  const completed = [...ledger.prompts].flatMap(([id, accepted]) => {
    const row = rows.get(id);
    return row?.status === "Completed" ? [{ ...accepted, row }] : [];
  });
  for (const [sessionId, list] of Map.groupBy(completed, (one) => one.sessionId)) {
    const inOrder = list.toSorted((one, other) => one.row.seq - other.row.seq);
    for (const [index, { job, agent, row }] of inOrder.entries()) {
      const before = inOrder.slice(0, index);
      const lacking = (known: ReadonlySet<string>) =>
        before.flatMap((one) => (known.has(one.job.id) ? [] : one.job.id)).join(", ");
      const undone = before.flatMap((one) => (denied.has(one.row.id) ? [one.job.id] : []));
      const problems = new Set<string>();
      for (const { found: files, knows } of starts.get(job.id) ?? []) {
        const found = new Set([...files, ...undone]);
        if (lacking(found)) problems.add(`its checkout lacks the work of ${lacking(found)}`);
        if (knows === undefined ? agent === "acp" : lacking(knows))
          problems.add(`it was not told ${knows ? lacking(knows) : "anything"}`);
      }
      if (agent !== "command") {
        count(`prompts of ${agent}, memory ${row.memory}`);
        if (before.length > 0 && (row.memory === "cold" || row.memory === "fresh"))
          problems.add(`its memory is ${row.memory}: ${row.memoryReason}`);
      }
      if (agent === "claude") {
        if (!asked.has(job.id)) problems.add("its model was not asked");
        for (const { knows } of asked.get(job.id) ?? [])
          if (lacking(knows)) problems.add(`its model was not told ${lacking(knows)}`);
      }
      ignorant.push(
        ...[...problems].map((one) => `session ${sessionId}, ${job.id} (${row.id}), ${row.memory}: ${one}`),
      );
      const last = before.at(-1);
      if (!last) continue;
      count(`follow-ups of ${agent}`);
      if (machines.get(last.row.id) !== machines.get(row.id))
        count(`follow-ups of ${agent}, machine changed`);
    }
  }
  return { ignorant, counts };
}

/** By prompt, the DATA_DIR of the process whose log says that it has ended its run. */
function endedOn(nodes: Cluster["nodes"]): Map<string, string> {
  const machines = new Map<string, string>();
  for (const { dataDir, lives } of nodes)
    for (const line of lives.flat()) {
      if (!line.includes('"run ended"')) continue;
      const id = /"prompt_id":"([^"]+)"/.exec(line)?.[1];
      if (id) machines.set(id, dataDir);
    }
  return machines;
}

/** The prompts whose agents were adopted when a part of their output was stored: once for each time. */
function adopted(nodes: Cluster["nodes"]): string[] {
  return nodes
    .flatMap(({ lives }) => lives.flat())
    .filter((line) => line.includes('"agent adopted"') && !line.includes('"stored":0,'))
    .map((line) => /"prompt_id":"([^"]+)"/.exec(line)?.[1] ?? "");
}
