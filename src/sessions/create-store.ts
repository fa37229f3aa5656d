import { sql } from "drizzle-orm";
import type { Author } from "../auth/claims.ts";
import { auditInsert } from "../db/audit-log.ts";
import type { Queryable } from "../db/client.ts";
import { insertTogether } from "../db/insert-together.ts";
import type { Turn } from "../db/json-columns.ts";
import { session } from "../db/tables.ts";
import { userTurn } from "../lifecycle/queue-prompt.ts";
import { promptCreated, promptInsert, requireQuota } from "../prompts/create-store.ts";
import { QUEUES } from "../queue/names.ts";
import { outboxInsert, selectNotifyOutbox } from "../queue/outbox.ts";
import { branchOf, titleOf } from "./naming.ts";
import { requireParent } from "./store.ts";

export interface NewSession {
  userId: string;
  repo: string;
  targetBranch: string;
  parent: string | null;
  branchPrefix: string;
  /** Named in the commits that are made for the first prompt. */
  author?: Author | undefined;
  /** The first prompt: as sent, its text, and its priority among the user's prompts. */
  prompt?: { data: unknown; text: string; priority: number } | undefined;
  /** Whether the title-generator is to write a better title. */
  wantsTitle: boolean;
  /** The user's quota of unfinished prompts. */
  maxUnfinished: number;
}

/** Session, first prompt and outbox rows, all or nothing, also outside of a transaction. @throws AppError */
export async function createSession(
  orm: Queryable,
  wanted: NewSession,
): Promise<{ sessionId: string; promptId?: string }> {
  const {
    userId,
    repo,
    targetBranch,
    parent,
    author,
    prompt: first,
    branchPrefix,
    wantsTitle,
    maxUnfinished,
  } = wanted;
  if (parent !== null) await requireParent(orm, userId, parent);
  if (first) await requireQuota(orm, userId, maxUnfinished);
  const sessionId = Bun.randomUUIDv7();
  const promptId = Bun.randomUUIDv7();
  const title = titleOf(first?.text ?? "");
  const branch = branchOf(title, branchPrefix);
  const messages: Turn[] = first ? [userTurn(first.text, promptId)] : [];
  const inserted = orm.insert(session).values({
    id: sessionId,
    userId,
    repo,
    targetBranch,
    parent,
    title,
    branch,
    messages,
    promptSeq: first ? 1 : 0,
  });
  const created = {
    actor: userId,
    action: "session.create",
    target: `session:${sessionId}`,
    detail: { repo, branch, target_branch: targetBranch },
  } as const;
  if (!first) {
    await insertTogether(orm, [inserted, auditInsert(orm, created)], sql`select 1`);
    return { sessionId };
  }
  const { data, priority } = first;
  const run = { topic: QUEUES.promptRun, key: promptId, payload: { prompt_id: promptId } } as const;
  const titled = { topic: QUEUES.sessionTitle, key: sessionId, payload: { session_id: sessionId } } as const;
  await insertTogether(
    orm,
    [
      inserted,
      promptInsert(orm, { id: promptId, sessionId, userId, seq: 1, data, priority, author }),
      outboxInsert(orm, run),
      auditInsert(orm, created, promptCreated({ id: promptId, sessionId, userId })),
      ...(wantsTitle ? [outboxInsert(orm, titled)] : []),
    ],
    // It is warm on no machine: there is none to be told of it before the others.
    selectNotifyOutbox(),
  );
  return { sessionId, promptId };
}
