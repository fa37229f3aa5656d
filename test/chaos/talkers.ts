import { noteText } from "./agent.ts";
import type { Cluster } from "./cluster.ts";
import type { Random } from "./random.ts";
import { ask, type Ledger } from "./users.ts";

const ANSWERS = [
  { decision: "allow" },
  { decision: "allow" },
  { decision: "allow_run" },
  { decision: "deny" },
  { decision: "deny", reason: "Leave it." },
  // Leaves it, until its time is over or the session is cancelled.
  undefined,
] as const;

/** What a user does beside everything else: says things to agents at work, and answers what they ask. */
export interface Talker {
  /**
   * @param options.steers whether it speaks to agents. @param options.answersAll also what it left.
   * @param options.pace multiplies its pauses, as a user's.
   */
  talk(options: { steers: boolean; answersAll: boolean; pace: number; until: AbortSignal }): Promise<void>;
}

export function createTalker(
  cluster: Cluster,
  options: { name: string; random: Random; ledger: Ledger; token: string },
): Talker {
  const { name, random, ledger, token } = options;
  // A request that has begun is completed, so that its outcome is known.
  const sending = { random, token, ledger, signal: new AbortController().signal };
  const get = (path: string) => ask(cluster, sending, { method: "GET", path });
  const left = new Set<string>();
  let count = 0;

  const steer = async (sessionId: string) => {
    const { body } = await get(`/sessions/${sessionId}/prompts`);
    const running = (body.prompts as { id: string; status: string }[] | undefined)?.find(
      ({ status }) => status === "Running",
    );
    const agent = ledger.prompts.get(running?.id ?? "")?.agent;
    // The command cannot take it: each is a prompt of its own.
    if (!running || !(agent === "acp" || (agent === "command" && random.below(4) === 0))) return;
    const note = `${name}-${++count}`;
    const path = `/prompts/${running.id}/steer`;
    const request = { method: "POST", path, body: { text: noteText(note) }, key: `note-${note}` };
    const reply = await ask(cluster, sending, request);
    // 404: the session is deleted. 409: there are too many.
    if (reply.status === 404 || reply.status === 409) return;
    if (reply.status !== 200)
      return void ledger.errors.push(`steer: ${reply.status} ${JSON.stringify(reply.body)}`);
    const { delivered, prompt_id, steer_id } = reply.body;
    ledger.steers.set(note, { promptId: running.id, steerId: steer_id, delivered, has: prompt_id });
    // A new prompt unarchives a session.
    const session = ledger.sessions.get(sessionId);
    if (session) session.archived = false;
  };

  const answer = async (sessionId: string, answersAll: boolean) => {
    const { body } = await get(`/sessions/${sessionId}/permissions?status=pending`);
    for (const { id } of (body.permissions ?? []) as { id: string }[]) {
      if (ledger.answers.has(id) || (left.has(id) && !answersAll)) continue;
      const said = random.pick(ANSWERS) ?? (answersAll ? { decision: "allow" } : undefined);
      if (!said) {
        left.add(id);
        continue;
      }
      const request = { method: "POST", path: `/permissions/${id}/answer`, body: said };
      const reply = await ask(cluster, sending, request);
      // 409: its time is over, its run has ended, or the reply to an earlier try was lost. 404: the session is deleted.
      if (![200, 404, 409].includes(reply.status))
        ledger.errors.push(`answer: ${reply.status} ${JSON.stringify(reply.body)}`);
      ledger.answers.set(id, { decision: said.decision, accepted: reply.status === 200 });
    }
  };

  return {
    async talk({ steers, answersAll, pace, until }) {
      while (!until.aborted) {
        const { body } = await get("/sessions");
        for (const one of body.sessions as { id: string; inboxStatus: string; waitingFor: string | null }[]) {
          if (one.inboxStatus !== "Processing") continue;
          // Before the answer: what was said before it must be heard before it.
          if (steers && random.below(3) === 0) await steer(one.id);
          if (one.waitingFor === "permission") await answer(one.id, answersAll);
        }
        await Bun.sleep((200 + random.below(800)) * pace);
      }
    },
  };
}
