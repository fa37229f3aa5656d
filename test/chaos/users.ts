import { ACP_AGENT } from "./acp.ts";
import { type ChaosAgent, type Job, MODES, textOf } from "./agent.ts";
import type { Cluster } from "./cluster.ts";
import type { Random } from "./random.ts";

/** What the service confirmed, and users may therefore rely on. */
export interface Ledger {
  /** Accepted prompts: the job, its session, and the agent that does it. */
  prompts: Map<string, { job: Job; sessionId: string; agent: ChaosAgent; asks: boolean }>;
  sessions: Map<string, { user: string; archived: boolean; deleted: boolean; cancels: number }>;
  /** By note: what was said to the agent of a prompt, and what the reply said of it. */
  steers: Map<string, { promptId: string; steerId: string; delivered: "running" | "queued"; has: string }>;
  /** By question: what its user answered, and whether that was accepted; if not, the reply to an earlier try may be lost. */
  answers: Map<string, { decision: string; accepted: boolean }>;
  /** Unexpected HTTP responses: no success, no documented rejection, no lost connection. */
  errors: string[];
  operations: number;
}

export const createLedger = (): Ledger => ({
  prompts: new Map(),
  sessions: new Map(),
  steers: new Map(),
  answers: new Map(),
  errors: [],
  operations: 0,
});

/** Sends a request to random servers until one answers; retries while a server or its database is down. */
export async function ask(
  cluster: Cluster,
  options: { random: Random; token: string; ledger: Ledger; signal: AbortSignal },
  request: { method: string; path: string; body?: unknown; key?: string },
  // biome-ignore lint/suspicious/noExplicitAny: responses of every shape.
): Promise<{ status: number; body: any }> {
  const { random, token, ledger, signal } = options;
  const servers = cluster.nodes.filter((node) => node.serves);
  for (;;) {
    signal.throwIfAborted();
    try {
      const reply = await fetch(`${random.pick(servers).url}${request.path}`, {
        method: request.method,
        headers: {
          authorization: `Bearer ${token}`,
          ...(request.body !== undefined && { "content-type": "application/json" }),
          ...(request.key && { "idempotency-key": request.key }),
        },
        ...(request.body !== undefined && { body: JSON.stringify(request.body) }),
        signal: AbortSignal.any([signal, AbortSignal.timeout(40_000)]),
      });
      const body = await reply.json();
      ledger.operations += 1;
      if (reply.status < 500) return { status: reply.status, body };
      // The database is restarting.
      if (reply.status !== 503 && reply.status !== 500)
        ledger.errors.push(`${request.method} ${request.path}: ${reply.status}`);
    } catch {
      // Refused, reset or timed out: try another server.
    }
    await Bun.sleep(100 + random.below(200));
  }
}

/** Sessions are those of all agents: what the last prompt asked for must not be what this one gets. */
const choice = (agent: ChaosAgent, asks: boolean) => ({
  agent: agent === "acp" ? ACP_AGENT : agent,
  mode: asks ? "ask" : "auto",
});

export interface User {
  /** Uses every kind of request until `until` aborts. */
  act(options: {
    /** Each prompt is for one of them. */
    agents: readonly ChaosAgent[];
    /** Multiplies the pauses between requests, so that the cluster can keep up. */
    pace: number;
    until: AbortSignal;
  }): Promise<void>;
}

export function createUser(
  cluster: Cluster,
  options: { name: string; repo: string; random: Random; ledger: Ledger; token: string },
): User {
  const { name, repo, random, ledger, token } = options;
  // A request that has begun is completed, so that its outcome is known.
  const sending = { random, token, ledger, signal: new AbortController().signal };
  const own: string[] = [];
  let count = 0;
  const newJob = (): Job => ({
    id: `${name}-${++count}`,
    lines: 5 + random.below(60),
    delay: random.pick(["0.01", "0.05", "0.1"]),
    mode: random.pick(MODES),
  });
  /** Whether a prompt's agent is to ask before it begins. */
  const asksOf = (agent: ChaosAgent) => agent === "acp" && random.below(4) > 0;

  const actions: [weight: number, act: (agent: ChaosAgent) => Promise<void>][] = [
    [
      3,
      async (agent) => {
        const job = newJob();
        const asks = asksOf(agent);
        const messages = [{ content: textOf(job) }];
        const body = { repo, target_branch: "main", messages, ...choice(agent, asks) };
        const request = { method: "POST", path: "/sessions/with-prompt", body, key: job.id };
        const reply = await ask(cluster, sending, request);
        if (reply.status !== 200)
          return void ledger.errors.push(`create: ${reply.status} ${JSON.stringify(reply.body)}`);
        const { sessionId, promptId } = reply.body;
        own.push(sessionId);
        ledger.sessions.set(sessionId, { user: name, archived: false, deleted: false, cancels: 0 });
        ledger.prompts.set(promptId, { job, sessionId, agent, asks });
      },
    ],
    [
      6,
      async (agent) => {
        if (own.length === 0) return;
        // Any of them: most have been idle for a while, and their machines may be down.
        const sessionId = random.pick(own);
        const job = newJob();
        const asks = asksOf(agent);
        const body = {
          session_id: sessionId,
          data: [{ type: "text", content: textOf(job) }],
          ...choice(agent, asks),
        };
        const reply = await ask(cluster, sending, { method: "POST", path: "/prompts", body, key: job.id });
        if (reply.status !== 200)
          return void ledger.errors.push(`follow-up: ${reply.status} ${JSON.stringify(reply.body)}`);
        ledger.prompts.set(reply.body.id, { job, sessionId, agent, asks });
        // A new prompt unarchives a session.
        const session = ledger.sessions.get(sessionId);
        if (session) session.archived = false;
      },
    ],
    [
      1,
      async () => {
        if (own.length === 0) return;
        const sessionId = random.pick(own);
        const session = ledger.sessions.get(sessionId);
        if (session) session.cancels += 1;
        const reply = await ask(cluster, sending, { method: "POST", path: `/sessions/${sessionId}/cancel` });
        if (reply.status !== 200) ledger.errors.push(`cancel: ${reply.status} ${JSON.stringify(reply.body)}`);
      },
    ],
    [
      1,
      async () => {
        if (own.length === 0) return;
        const sessionId = random.pick(own);
        const body = { id: sessionId, ui_status: "Archived" };
        const reply = await ask(cluster, sending, { method: "PUT", path: `/sessions/${sessionId}`, body });
        if (reply.status !== 200 && reply.status !== 409)
          ledger.errors.push(`archive: ${reply.status} ${JSON.stringify(reply.body)}`);
        const session = ledger.sessions.get(sessionId);
        if (session && reply.status === 200) session.archived = true;
      },
    ],
    [
      1,
      async () => {
        if (own.length < 3) return;
        const sessionId = random.pick(own);
        own.splice(own.indexOf(sessionId), 1);
        const session = ledger.sessions.get(sessionId);
        if (session) session.deleted = true;
        const reply = await ask(cluster, sending, { method: "DELETE", path: `/sessions/${sessionId}` });
        // 404: an earlier try succeeded, and its response was lost.
        if (reply.status !== 200 && reply.status !== 404)
          ledger.errors.push(`delete: ${reply.status} ${JSON.stringify(reply.body)}`);
      },
    ],
  ];
  const weighted = actions.flatMap(([weight, act]) => Array.from({ length: weight }, () => act));
  return {
    async act({ agents, pace, until }) {
      while (!until.aborted) {
        await random.pick(weighted)(random.pick(agents));
        await Bun.sleep((300 + random.below(2_500)) * pace);
      }
    },
  };
}
