import { count, sql } from "drizzle-orm";
import type { SubmittedPrompt } from "../attachments/read-prompt.ts";
import { storeAttachments } from "../attachments/store.ts";
import type { Author } from "../auth/claims.ts";
import { type AuditEntry, auditInsert, auditRow } from "../db/audit-log.ts";
import { builtOnce } from "../db/built-once.ts";
import type { Queryable } from "../db/client.ts";
import { insertTogether } from "../db/insert-together.ts";
import type { Turn } from "../db/json-columns.ts";
import { session } from "../db/tables.ts";
import { type AskedChoice, resolveChoice } from "../fleet/choice.ts";
import { userTurn } from "../lifecycle/queue-prompt.ts";
import { requireProjectBudget } from "../projects/budget-store.ts";
import { projectDefaults } from "../projects/defaults-store.ts";
import {
  authorColumns,
  promptCreated,
  promptInsert,
  requireQuota,
  unfinished,
} from "../prompts/create-store.ts";
import { QUEUES } from "../queue/names.ts";
import { notifiesOutbox, outboxInsert } from "../queue/outbox.ts";
import { AppError } from "../shared/errors.ts";
import { branchOf, titleOf } from "./naming.ts";
import { requireParent } from "./store.ts";

export interface NewSession {
  userId: string;
  repo: string;
  /** Finds the repository's project. */
  repoKey: string;
  targetBranch: string;
  parent: string | null;
  branchPrefix: string;
  /** Named in the commits that are made for the first prompt. */
  author?: Author | undefined;
  /** The first prompt, and its priority among the user's prompts. With attachments: only in a transaction. */
  prompt?:
    | (Pick<SubmittedPrompt, "data" | "text"> & Partial<SubmittedPrompt> & { priority: number })
    | undefined;
  /** For its prompts; checked. */
  asked?: AskedChoice;
  /** Whether the title-generator is to write a better title. */
  wantsTitle: boolean;
  /** The user's quota of unfinished prompts. */
  maxUnfinished: number;
}

/** Values of the statement, by name. */
const given = sql.placeholder;
const AUDIT = ["actor", "action", "target", "detail"] as const;
/** The rows of the audit log have the same columns: `session_actor`, `prompt_actor`, … */
const auditGiven = (of: "session" | "prompt") => ({
  actor: given(`${of}_actor`),
  action: given(`${of}_action`),
  target: given(`${of}_target`),
  detail: given(`${of}_detail`),
});
const auditValues = (of: "session" | "prompt", entry: AuditEntry) => {
  const row = auditRow(entry);
  return Object.fromEntries(AUDIT.map((column) => [`${of}_${column}`, row[column]]));
};

/** With what is made of a session: nothing else, its first prompt, or also a title for it. */
const creating = builtOnce((orm, shape) => {
  const inserted = orm.insert(session).values({
    id: given("sessionId"),
    userId: given("userId"),
    repo: given("repo"),
    targetBranch: given("targetBranch"),
    parent: given("parent"),
    title: given("title"),
    branch: given("branch"),
    messages: given("messages"),
    choice: given("choice"),
    promptSeq: shape === "bare" ? 0 : 1,
  });
  if (shape === "bare")
    return insertTogether(orm, [inserted, auditInsert(orm, [auditGiven("session")])], sql`null`);
  const prompt = {
    ...{ id: given("promptId"), sessionId: given("sessionId"), userId: given("userId"), seq: 1 },
    ...{ data: given("data"), priority: given("priority") },
    ...{
      agent: given("agent"),
      model: given("model"),
      mode: given("mode"),
      maxTurns: given("maxTurns"),
      budget: given("budget"),
    },
    ...{ authorName: given("authorName"), authorEmail: given("authorEmail") },
  };
  const run = { id: given("runId"), key: given("promptId"), payload: given("run") };
  const titled = { id: given("titleId"), key: given("sessionId"), payload: given("titled") };
  return insertTogether(
    orm,
    [
      inserted,
      promptInsert(orm, prompt),
      outboxInsert(orm, { topic: QUEUES.promptRun, ...run }),
      auditInsert(orm, [auditGiven("session"), auditGiven("prompt")]),
      ...(shape === "titled" ? [outboxInsert(orm, { topic: QUEUES.sessionTitle, ...titled })] : []),
    ],
    // It is warm on no machine: there is none to be told of it before the others.
    notifiesOutbox,
  );
});

export interface Created {
  sessionId: string;
  promptId?: string;
}

/** Session, first prompt and outbox rows, all or nothing, also outside of a transaction. @throws AppError */
export async function createSession(orm: Queryable, wanted: NewSession): Promise<Created> {
  const { userId, repo, targetBranch, parent, author, prompt: first, branchPrefix } = wanted;
  const ofPrompts = { max_turns: wanted.asked?.maxTurns, budget_usd: wanted.asked?.budget };
  const [misplaced] = Object.entries(ofPrompts).find(([, value]) => !first && value !== undefined) ?? [];
  if (misplaced !== undefined)
    throw new AppError(
      "invalid",
      `${misplaced}: is of one prompt, and this session is created without any; send it with the session's first prompt.`,
    );
  if (parent !== null) await requireParent(orm, userId, parent);
  await requireProjectBudget(orm, { userId, repoKey: wanted.repoKey, budget: wanted.asked?.budget });
  // Also without a prompt: the first one goes on with what the project says.
  const [found] = await orm
    .select({ count: count(), defaults: projectDefaults(wanted) })
    .from(unfinished(orm, userId, wanted.maxUnfinished));
  const { defaults = null } = found ?? {};
  if (first) requireQuota(found?.count ?? 0, wanted.maxUnfinished);
  const before = { choice: defaults, lastAgent: null, usualAgent: null };
  const { columns, choice = defaults } = await resolveChoice(orm, wanted.asked ?? {}, before);
  const sessionId = Bun.randomUUIDv7();
  const promptId = Bun.randomUUIDv7();
  const title = titleOf(first?.text ?? "");
  const branch = branchOf(title, branchPrefix);
  const messages: Turn[] = first ? [userTurn(first.text, promptId)] : [];
  const row = { sessionId, userId, repo, targetBranch, parent, title, branch, messages, choice };
  const created = auditValues("session", {
    actor: userId,
    action: "session.create",
    target: `session:${sessionId}`,
    detail: { repo, branch, target_branch: targetBranch },
  });
  if (!first) {
    await creating(orm, "bare").execute({ ...row, ...created });
    return { sessionId };
  }
  await creating(orm, wanted.wantsTitle && first.written !== false ? "titled" : "prompt").execute({
    ...row,
    ...created,
    ...auditValues("prompt", promptCreated({ id: promptId, sessionId, userId })),
    ...{ promptId, data: first.data, priority: first.priority, ...columns, ...authorColumns(author) },
    ...{ runId: Bun.randomUUIDv7(), run: { prompt_id: promptId } },
    ...{ titleId: Bun.randomUUIDv7(), titled: { session_id: sessionId } },
  });
  await storeAttachments(orm, { userId, promptId, attachments: first.attachments ?? [] });
  return { sessionId, promptId };
}
