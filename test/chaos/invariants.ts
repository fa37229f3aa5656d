import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { asc, eq } from "drizzle-orm";
import type { Orm } from "../../src/db/client.ts";
import { deadLetter, message, prompt, session } from "../../src/db/tables.ts";
import { MAX_ATTEMPTS } from "../../src/runs/failures.ts";
import type { TestRepository } from "../harness/repository.ts";
import type { Report, Trace } from "./agent.ts";
import type { ModelRequest } from "./claude.ts";
import type { Cluster } from "./cluster.ts";
import { checkKnowledge } from "./knowledge.ts";
import type { Reader } from "./readers.ts";
import { checkTalk } from "./talk.ts";
import type { Ledger } from "./users.ts";

/** Violations, which must be empty, with one line per case; and counts for information. */
export interface Findings {
  violations: Record<string, string[]>;
  counts: Record<string, number>;
}

const RULES = [
  "prompts lost",
  "prompts completed twice",
  "events lost, repeated or reordered",
  "sessions not idle",
  "sandboxes held",
  "processes that ended by themselves",
  "stray processes",
  "checkouts leaked",
  "readers with different events",
  "archive or cancel without effect",
  "turns that did not know the turns before",
  "steers lost or doubled",
  "answers lost, doubled or disobeyed",
  "questions left open",
  "HTTP errors",
] as const;

/** Compares responses to users, reports of agents, requests to the model and events seen by readers with the tables. */
export async function check(options: {
  cluster: Cluster;
  orm: Orm;
  ledger: Ledger;
  traces: readonly Trace[];
  reports: readonly Report[];
  /** What Claude Code asked its model. */
  requests: readonly ModelRequest[];
  readers: readonly Reader[];
  repository: TestRepository;
}): Promise<Findings> {
  const { cluster, orm, ledger, traces, reports, requests, readers, repository } = options;
  const violations = Object.fromEntries(RULES.map((rule) => [rule, [] as string[]])) as Record<
    (typeof RULES)[number],
    string[]
  >;
  const prompts = new Map((await orm.select().from(prompt)).map((row) => [row.id, row]));
  const sessions = new Map((await orm.select().from(session)).map((row) => [row.id, row]));
  const counts: Record<string, number> = {};
  const count = (name: string) => {
    counts[name] = (counts[name] ?? 0) + 1;
  };

  const talk = await checkTalk({ orm, prompts, sessions, ledger, traces, reports });
  violations["steers lost or doubled"].push(...talk.lost);
  violations["answers lost, doubled or disobeyed"].push(...talk.disobeyed);
  violations["questions left open"].push(...talk.open);
  Object.assign(counts, talk.counts);

  const starts = Map.groupBy(
    traces.filter(({ kind }) => kind === "start"),
    ({ id }) => id,
  );
  const begins = Map.groupBy(
    requests.filter(({ begins }) => begins),
    ({ id }) => id,
  );
  // Claude Code may be killed before its shell starts.
  const startsOf = (job: string) => Math.max(starts.get(job)?.length ?? 0, begins.get(job)?.length ?? 0);
  for (const [id, { job, sessionId }] of ledger.prompts) {
    const row = prompts.get(id);
    const of = sessions.get(sessionId);
    const told = ledger.sessions.get(sessionId);
    if (!row || !of || !told) {
      violations["prompts lost"].push(`${job.id} (${id}) is not there`);
      continue;
    }
    count(`prompts ${row.status}${row.errorKind ? ` (${row.errorKind})` : ""}`);
    if (row.attempt > 1) count("prompts that took more than one attempt");
    const mayBeCancelled = told.cancels > 0 || told.deleted;
    // Each attempt started an agent, and each of those was killed.
    const gaveUp =
      (row.errorKind === "transient" || row.errorKind === "poison") && startsOf(job.id) >= MAX_ATTEMPTS;
    const failedByItself = job.mode === "fail" && row.errorKind === "agent";
    const fine =
      row.status === "Completed"
        ? job.mode !== "fail"
        : row.status === "Cancelled"
          ? mayBeCancelled
          : row.status === "Failed" && (failedByItself || gaveUp || row.errorKind === "interrupted");
    if (!fine)
      violations["prompts lost"].push(
        `${job.id} (${id}): ${row.status} ${row.errorKind ?? ""} ${row.error ?? ""}`,
      );
    const turns = of.messages.filter((turn) => turn.prompt_id === id && turn.role === "assistant").length;
    if (turns > 1)
      violations["prompts completed twice"].push(
        `${job.id} has ${turns} assistant turns in its conversation`,
      );

    const does = row.status === "Completed" && !talk.denied.has(id);
    if (talk.denied.has(id)) count("prompts Completed, their agents not allowed");
    const rows = await orm.select().from(message).where(eq(message.promptId, id)).orderBy(asc(message.seq));
    const problem = problemWith(
      rows.map(({ data }) => data),
      job,
      does,
    );
    if (problem) violations["events lost, repeated or reordered"].push(`${job.id} (${id}): ${problem}`);

    if (does && !told.deleted) {
      const file = await repository.git("show", `${of.branch}:work-${job.id}.txt`).catch(() => "");
      const lines = file.split("\n").filter(Boolean).length;
      if (lines !== 1)
        violations["prompts completed twice"].push(`${job.id} (${id}) left ${lines} lines on its branch`);
    }
  }
  counts["agents started"] = traces.filter(({ kind }) => kind === "start").length;
  counts["agents started again for the same prompt"] = [...starts.values()].filter(
    (list) => list.length > 1,
  ).length;

  for (const row of sessions.values()) {
    const told = ledger.sessions.get(row.id);
    const seqs = await orm
      .select({ seq: message.seq })
      .from(message)
      .where(eq(message.sessionId, row.id))
      .orderBy(asc(message.seq));
    if (seqs.length !== row.messageSeq || seqs.some(({ seq }, index) => seq !== index + 1))
      violations["events lost, repeated or reordered"].push(`session ${row.id} has gaps`);
    if (
      ["Pending", "Processing"].includes(row.inboxStatus) &&
      [...prompts.values()].some((one) => one.sessionId === row.id)
    )
      violations["sessions not idle"].push(`${row.id}: ${row.inboxStatus}`);
    if (row.sbxConfig) violations["sandboxes held"].push(`${row.id}: ${row.sbxConfig.id}`);
    if (row.cancellationStatus === "Requested")
      violations["sessions not idle"].push(`${row.id}: cancel requested`);
    if (told?.archived && row.sessionStatus !== "Completed")
      violations["archive or cancel without effect"].push(`${row.id}: ${row.sessionStatus}`);
  }
  for (const row of prompts.values())
    if (row.status === "Queued" || row.status === "Running")
      violations["sessions not idle"].push(
        `prompt ${row.id}: ${row.status}, ${JSON.stringify(row.process)}, output stored up to ${row.outputOffset}`,
      );

  for (const dataDir of cluster.dataDirs)
    for (const id of await readdir(join(dataDir, "sandboxes")).catch(() => []))
      violations["checkouts leaked"].push(join(dataDir, id));
  violations["processes that ended by themselves"].push(...cluster.nodes.flatMap(({ crashes }) => crashes));
  const stray = await Bun.$`pgrep -af ${`${cluster.folder}/.*/sandboxes`}`.nothrow().quiet().text();
  violations["stray processes"].push(...stray.split("\n").filter(Boolean));

  for (const { sessionId, log } of readers) {
    if (sessions.get(sessionId)?.deletedAt) continue;
    const rows = await orm
      .select()
      .from(message)
      .where(eq(message.sessionId, sessionId))
      .orderBy(asc(message.seq));
    const expected = rows.map(({ seq, id, data }) => `${seq} ${id} ${JSON.stringify(data)}`);
    const got = log.map(({ id, data }) => {
      const parsed = JSON.parse(data);
      return `${id} ${parsed.id} ${JSON.stringify(parsed.data)}`;
    });
    if (expected.join("\n") !== got.join("\n"))
      violations["readers with different events"].push(
        `session ${sessionId}: ${got.length} of ${expected.length} events`,
      );
    counts["events read live"] = (counts["events read live"] ?? 0) + got.length;
  }
  const knowledge = checkKnowledge({
    ...{ rows: prompts, ledger, traces, requests },
    ...{ denied: talk.denied, nodes: cluster.nodes },
  });
  violations["turns that did not know the turns before"].push(...knowledge.ignorant);
  Object.assign(counts, knowledge.counts);
  counts["dead letters"] = (await orm.select().from(deadLetter)).length;
  counts["sessions"] = sessions.size;
  counts["prompts"] = ledger.prompts.size;
  counts["HTTP responses"] = ledger.operations;
  violations["HTTP errors"].push(...ledger.errors);
  return { violations, counts };
}

/** Each start's lines must be 0, 1, 2, … without gaps, contiguous; that of an agent that does its job must be complete. */
function problemWith(
  events: readonly unknown[],
  job: { id: string; lines: number },
  does: boolean,
): string | undefined {
  const lines = events
    .flatMap(textsIn)
    // Neighbouring lines of plain text share an event.
    .flatMap((text) => text.split("\n"))
    .map((text) => /^(\S+) (\d+) (\d+|end)$/.exec(text))
    .filter((match) => match !== null)
    .map(([, id, nonce = "", mark = ""]) => ({ id, nonce, mark }));
  const seen = new Set<string>();
  let nonce = "";
  let next = 0;
  for (const line of lines) {
    if (line.id !== job.id) return `has a line of ${line.id}`;
    if (line.nonce !== nonce) {
      if (seen.has(line.nonce)) return `lines of start ${line.nonce} are not contiguous`;
      seen.add(line.nonce);
      nonce = line.nonce;
      next = 0;
    }
    const expected = next > job.lines ? "end" : String(next);
    if (line.mark !== expected) return `${line.mark} where ${expected} was next`;
    next += 1;
  }
  if (does && next !== job.lines + 2) return `completed after ${next} of ${job.lines + 2} lines`;
  return undefined;
}

/** What an agent printed in an event, or a command that it ran. */
function textsIn(event: unknown): string[] {
  const content = (event as { message?: { content?: unknown } }).message?.content;
  return (Array.isArray(content) ? content : []).flatMap((block: { text?: unknown; content?: unknown }) => {
    // The result of a tool.
    if (Array.isArray(block.content)) return block.content.map(({ text }) => String(text));
    return String(block.text ?? block.content ?? "");
  });
}
