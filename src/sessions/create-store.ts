import type { Author } from "../auth/claims.ts";
import { recordAudit } from "../db/audit-log.ts";
import type { Transaction } from "../db/client.ts";
import type { Turn } from "../db/json-columns.ts";
import { session } from "../db/tables.ts";
import { userTurn } from "../lifecycle/queue-prompt.ts";
import { insertPrompt, promptCreated } from "../prompts/create-store.ts";
import { QUEUES } from "../queue/names.ts";
import { enqueue } from "../queue/outbox.ts";
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

/** Session, first prompt and outbox rows, all or nothing. */
export async function createSession(
  tx: Transaction,
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
  if (parent !== null) await requireParent(tx, userId, parent);
  const sessionId = Bun.randomUUIDv7();
  const promptId = Bun.randomUUIDv7();
  const title = titleOf(first?.text ?? "");
  const branch = branchOf(title, branchPrefix);
  const messages: Turn[] = first ? [userTurn(first.text, promptId)] : [];
  await tx.insert(session).values({
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
    await recordAudit(tx, created);
    return { sessionId };
  }
  const { data, priority } = first;
  await insertPrompt(tx, { id: promptId, sessionId, userId, seq: 1, data, priority, author }, maxUnfinished);
  await recordAudit(tx, created, promptCreated({ id: promptId, sessionId, userId }));
  if (wantsTitle)
    await enqueue(tx, { topic: QUEUES.sessionTitle, key: sessionId, payload: { session_id: sessionId } });
  return { sessionId, promptId };
}
