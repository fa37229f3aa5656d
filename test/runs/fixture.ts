import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { asc, eq } from "drizzle-orm";
import type { Agent } from "../../src/agents/agent.ts";
import { createCommandAgent } from "../../src/agents/command.ts";
import { message, prompt, session } from "../../src/db/tables.ts";
import { requestCancel } from "../../src/lifecycle/cancel.ts";
import type { ClaimedRun } from "../../src/lifecycle/start-run.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { openLeaseManager } from "../../src/runs/leases.ts";
import { type RunnerDeps, runClaimed } from "../../src/runs/runner.ts";
import { createSession } from "../../src/sessions/create-store.ts";
import { claimRun } from "../harness/databases.ts";
import { openMigrated } from "../harness/embedded.ts";
import { noMetrics } from "../harness/metrics.ts";
import { makeRepository } from "../harness/repository.ts";
import { until } from "../harness/until.ts";
import { openSandboxFixture } from "../sandboxes/fixture.ts";

export const logger = createLogger({ level: "silent" });
/** No limit that a test meets by accident. */
export const LIMITS = {
  timeoutMs: 60_000,
  silenceMs: 0,
  resultGraceMs: 30_000,
  minFreeBytes: 0,
  maxCheckoutBytes: 0,
};
export const never = new AbortController().signal;

/** A shell script as the agent. */
export const agentOf = (script: string, more: Partial<Agent> = {}): Agent => ({
  ...createCommandAgent({
    argv: ["sh", "-c", script],
    program: () => ({ path: "/bin/sh", readable: [] }),
    missing: "no shell",
    needsModel: false,
  }),
  ...more,
});

export type RunBench = Awaited<ReturnType<typeof openRunBench>>;

/** Runs of one machine on an embedded database, with a repository of their own. */
export async function openRunBench() {
  const folder = await mkdtemp(join(tmpdir(), "pb-run-"));
  const [stage, repository, database] = await Promise.all([
    openSandboxFixture(),
    makeRepository(),
    openMigrated(folder),
  ]);
  const leases = openLeaseManager({ orm: database.orm, logger });

  const depsFor = (agent: Agent, more: Partial<RunnerDeps> = {}): RunnerDeps => ({
    orm: database.orm,
    leases,
    sandboxes: stage.provider,
    agent,
    model: undefined,
    limits: LIMITS,
    handover: "leave",
    metrics: noMetrics(),
    logger,
    ...more,
  });
  const submit = async (repo = repository.path) => {
    const created = await database.orm.transaction((tx) =>
      createSession(tx, {
        userId: "alice",
        repo,
        targetBranch: "main",
        parent: null,
        prompt: { data: "Do it", text: "Do it", priority: 0 },
        wantsTitle: false,
        maxUnfinished: 1_000,
      }),
    );
    return { sessionId: created.sessionId, promptId: String(created.promptId) };
  };
  const claim = async (promptId: string, owner = leases.owner): Promise<ClaimedRun> => {
    const run = await claimRun(database.orm, promptId, owner, 8_000, stage.provider.host);
    if (!run) throw new Error("not claimed");
    return run;
  };
  const run = async (promptId: string, deps: RunnerDeps, shutdown = never) =>
    runClaimed(deps, await claim(promptId), shutdown);
  const promptRow = async (id: string) => {
    const [row] = await database.orm.select().from(prompt).where(eq(prompt.id, id));
    if (!row) throw new Error("no prompt");
    return row;
  };
  const sessionRow = async (id: string) =>
    (await database.orm.select().from(session).where(eq(session.id, id)))[0];
  const textsOf = async (promptId: string) => {
    const rows = await database.orm
      .select()
      .from(message)
      .where(eq(message.promptId, promptId))
      .orderBy(asc(message.seq));
    return rows.map(
      ({ data }) => (data as { message?: { content: { text: string }[] } }).message?.content[0]?.text,
    );
  };
  const says = (promptId: string, text: string) =>
    until(async () => (await textsOf(promptId)).includes(text), {
      what: `the agent to say ${text}`,
      timeoutMs: 20_000,
    });
  const cancel = (sessionId: string, promptId: string) =>
    database.orm
      .transaction((tx) => requestCancel(tx, { sessionId, by: "alice" }))
      .then(() => leases.cancel(promptId));
  const fileOn = (branch: string | undefined, file: string) => repository.git("show", `${branch}:${file}`);

  return {
    ...{ stage, repository, database, leases, depsFor, submit, claim, run },
    ...{ promptRow, sessionRow, textsOf, says, cancel, fileOn },
    async close() {
      await leases.close();
      await stage.remove();
      await database.close();
      await Promise.all([repository.remove(), rm(folder, { recursive: true, force: true })]);
    },
  };
}
