import { asc } from "drizzle-orm";
import type { Orm } from "../../src/db/client.ts";
import { message, type prompt, type session } from "../../src/db/tables.ts";
import { permissionRequest, steer } from "../../src/db/talk-tables.ts";
import { notesIn, noteText, type Report, type Trace } from "./agent.ts";
import type { Ledger } from "./users.ts";

type Question = typeof permissionRequest.$inferSelect;
type Steer = typeof steer.$inferSelect;

/** What an agent that acts on an answer was told, by the status of its question. */
const TOLD: Readonly<Record<Question["status"], string>> = {
  pending: "",
  allowed: "allow",
  allowed_run: "allow",
  denied: "deny",
  expired: "deny",
  cancelled: "cancelled",
};
const ANSWERED: Readonly<Record<string, string>> = {
  allow: "allowed",
  allow_run: "allowed_run",
  deny: "denied",
};

/**
 * Compares what users said and answered, and what the service replied, with the tables and with what reached agents. An agent's
 * life is one of its processes: each attempt of a prompt has one. That of a completed prompt whose output was stored last has
 * ended by itself; those before it may have been killed at any moment.
 */
export async function checkTalk(options: {
  orm: Orm;
  prompts: ReadonlyMap<string, typeof prompt.$inferSelect>;
  sessions: ReadonlyMap<string, typeof session.$inferSelect>;
  ledger: Ledger;
  traces: readonly Trace[];
  reports: readonly Report[];
}) {
  const { orm, prompts, sessions, ledger, traces, reports } = options;
  const lost: string[] = [];
  const disobeyed: string[] = [];
  const open: string[] = [];
  const counts: Record<string, number> = {};
  const count = (name: string) => {
    counts[name] = (counts[name] ?? 0) + 1;
  };
  const events = await orm
    .select({ promptId: message.promptId, data: message.data })
    .from(message)
    .orderBy(asc(message.sessionId), asc(message.seq));
  const steers = await orm.select().from(steer);
  const questions = await orm.select().from(permissionRequest);
  const lives = livesIn(events);
  const completedIn = (promptId: string | null) =>
    promptId !== null && prompts.get(promptId)?.status === "Completed"
      ? lives.get(promptId)?.at(-1)
      : undefined;
  const reached = Map.groupBy(reports, ({ kind, id }) => `${kind} ${id}`);

  const checkSteer = (note: string, row: Steer): string[] => {
    const told = ledger.sessions.get(row.sessionId);
    const reply = ledger.steers.get(note);
    const problems: string[] = [];
    const say = (problem: string) => void problems.push(`${note} (${row.id}, ${row.status}): ${problem}`);
    count(`steers ${row.status}`);
    if (row.status === "pending") say("its prompt has ended");
    if (row.status === "cancelled" && !told?.cancels && !told?.deleted) say("nobody has cancelled it");
    if (reply && (reply.steerId !== row.id || reply.promptId !== row.promptId))
      say(`the reply named ${reply.steerId}`);
    if (reply?.delivered === "queued" && row.queuedPromptId !== reply.has) say(`became not ${reply.has}`);
    if (reply?.delivered === "running" && reply.has !== row.promptId) say(`the reply named ${reply.has}`);

    const receipts = (reached.get(`told ${note}`) ?? []).map(({ life }) => life);
    for (const life of new Set(receipts))
      if (receipts.filter((one) => one === life).length > 1) say(`life ${life} was told it twice`);
    const has = row.status === "delivered" ? row.promptId : row.queuedPromptId;
    const last = row.status === "cancelled" ? undefined : completedIn(has);
    const knew = reports.some(
      ({ kind, id, life }) => kind === "knew" && life === last && id.split(",").includes(note),
    );
    // An agent that goes on where another was killed is not told again.
    if (last !== undefined && !receipts.includes(last) && !knew) say(`${has} has ended without it`);
    const first = completedIn(row.promptId);
    if (row.status === "queued" && first !== undefined && receipts.includes(first))
      say(`${row.promptId} had taken it`);
    for (const [promptId, own] of lives)
      if (promptId !== row.promptId && promptId !== row.queuedPromptId)
        if (own.some((life) => receipts.includes(life))) say(`${promptId} was told it`);

    if (told?.deleted) return problems;
    const became = [...prompts.values()].filter(({ data }) => textsOf(data).includes(noteText(note)));
    if (became.map(({ id }) => id).join() !== (row.queuedPromptId ?? ""))
      say(`became ${became.length} prompts`);
    if ((row.status === "queued") !== (became.length === 1)) say(`became ${became.length} prompts`);
    const turns = (sessions.get(row.sessionId)?.messages ?? []).flatMap(({ role, content }) =>
      role === "user" ? notesIn(content) : [],
    );
    const times = turns.filter((one) => one === note).length;
    if (times !== (row.status === "cancelled" ? 0 : 1)) say(`is said ${times} times in the conversation`);
    const taken = events.filter(({ data }) => (data as { steer_id?: unknown }).steer_id === row.id).length;
    // Each attempt may have taken it.
    const most = row.status === "delivered" ? (lives.get(row.promptId)?.length ?? 0) : 0;
    if (row.status === "delivered" && (taken < 1 || taken > most)) say(`${taken} events in ${most} lives`);
    return problems;
  };

  const byNote = Map.groupBy(steers, ({ text }) => notesIn(text)[0] ?? text);
  for (const note of ledger.steers.keys()) if (!byNote.has(note)) lost.push(`${note} is not there`);
  for (const [note, [row, ...more]] of byNote) {
    if (more.length > 0) lost.push(`${note} has ${more.length + 1} records`);
    if (row) lost.push(...checkSteer(note, row));
  }
  for (const row of prompts.values()) {
    if (ledger.prompts.has(row.id)) continue;
    count(`prompts that steers became, ${row.status}`);
    const told = ledger.sessions.get(row.sessionId);
    const fine =
      row.status === "Completed" ||
      (row.status === "Cancelled" && (told?.cancels || told?.deleted)) ||
      ["interrupted", "transient", "poison"].includes(row.errorKind ?? "");
    if (!fine) lost.push(`${row.id} (${textsOf(row.data).join()}): ${row.status} ${row.error ?? ""}`);
  }

  const asked = new Set<string>();
  for (const row of questions) {
    const name = String((row.input as { command?: unknown }).command);
    const [, life = ""] = name.split(".");
    const say = (problem: string) => void disobeyed.push(`${name} (${row.id}, ${row.status}): ${problem}`);
    asked.add(name);
    count(`questions ${row.status}`);
    if (row.status === "pending") open.push(`${name} (${row.id}): ${prompts.get(row.promptId)?.status}`);
    const reply = ledger.answers.get(row.id);
    if (reply?.accepted && row.status !== ANSWERED[reply.decision]) say(`${reply.decision} was accepted`);
    if (row.answeredBy !== null && row.status !== ANSWERED[reply?.decision ?? ""])
      say(`the answer was ${reply?.decision}`);
    const answers = reached.get(`answered ${name}`) ?? [];
    if (answers.length > 1) say(`was answered ${answers.length} times`);
    for (const { decision } of answers)
      if (decision !== TOLD[row.status]) say(`the agent was told ${decision}`);
    if (completedIn(row.promptId) === life && answers.length === 0) say("the agent was not told");
  }
  const jobs = new Map([...ledger.prompts.values()].map((one) => [one.job.id, one]));
  const decisions = new Map<string, string>();
  for (const { kind, id, life, decision } of reports) {
    if (kind !== "answered") continue;
    decisions.set(life, decision);
    if (jobs.get(id.split(".")[0] ?? "")?.asks && !asked.has(id)) disobeyed.push(`${id}: nobody was asked`);
  }
  for (const { kind, id, nonce } of traces)
    if (kind === "start" && jobs.get(id)?.agent === "acp" && decisions.get(nonce) !== "allow")
      disobeyed.push(`${id} began in life ${nonce}, told ${decisions.get(nonce)}`);
  for (const row of prompts.values())
    if (row.waitingFor !== null) open.push(`prompt ${row.id}, ${row.status}, waits for ${row.waitingFor}`);
  for (const row of sessions.values())
    if (row.waiting !== null) open.push(`session ${row.id} waits for ${row.waiting.for}`);

  /** Completed prompts whose agents were not allowed to do their job. */
  const denied = new Set(
    [...ledger.prompts.keys()].filter((id) => decisions.get(completedIn(id) ?? "") === "deny"),
  );
  return { lost, disobeyed, open, denied, counts };
}

/** By prompt, the lives of its agents, as they say in their output, in the order in which that is stored. */
function livesIn(events: readonly { promptId: string; data: unknown }[]): Map<string, string[]> {
  const lives = new Map<string, string[]>();
  for (const { promptId, data } of events) {
    const life = /"text":"life (\d+)[\\"]/.exec(JSON.stringify(data))?.[1];
    if (life === undefined) continue;
    const own = lives.get(promptId) ?? [];
    if (own.at(-1) !== life) own.push(life);
    lives.set(promptId, own);
  }
  return lives;
}

/** The texts of a prompt, one for each of its blocks. */
const textsOf = (data: unknown): string[] =>
  (Array.isArray(data) ? data : []).map(({ content }: { content?: unknown }) => String(content));
