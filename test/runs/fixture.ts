import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { asc, eq, isNotNull } from "drizzle-orm";
import type { Agent } from "../../src/agents/agent.ts";
import { createCommandAgent } from "../../src/agents/command.ts";
import { readConfig } from "../../src/config/config.ts";
import { modelApi } from "../../src/db/spend-tables.ts";
import { message, prompt, session } from "../../src/db/tables.ts";
import { requestCancel } from "../../src/lifecycle/cancel.ts";
import { createMemoryKeeper } from "../../src/memory/memory.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { createAttest } from "../../src/provenance/attest.ts";
import { openSigningKey } from "../../src/provenance/key.ts";
import { openLeaseManager } from "../../src/runs/leases.ts";
import { type RunnerDeps, runClaimed } from "../../src/runs/runner.ts";
import { killMarked, MARKER } from "../../src/sandboxes/process/processes.ts";
import { createSession } from "../../src/sessions/create-store.ts";
import { MIB } from "../../src/shared/units.ts";
import { openSpend } from "../../src/spend/spend.ts";
import { catalogOf } from "../harness/agents.ts";
import { databaseFolder } from "../harness/database-folder.ts";
import { openMigrated } from "../harness/embedded.ts";
import { noMetrics } from "../harness/metrics.ts";
import { makeRepository } from "../harness/repository.ts";
import { mustClaim, promptRow, sessionRow } from "../harness/seed.ts";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { until } from "../harness/until.ts";
import { openSandboxFixture } from "../sandboxes/fixture.ts";

export const logger = createLogger({ level: "silent" });
/** Limits that no test reaches by accident. */
export const LIMITS = {
  timeoutMs: 60_000,
  silenceMs: 0,
  permissionTimeoutMs: 3_600_000,
  resultGraceMs: 30_000,
  minFreeBytes: 0,
  maxCheckoutBytes: 0,
  retryTransientMs: 6 * 3_600_000,
  maxEvents: 50_000,
  maxStoredBytes: 1024 ** 3,
  maxOutputBytes: 1024 ** 3,
};
/** The signal of a process that does not shut down. */
export const never = new AbortController().signal;
/** A script that leaves half of its work and waits; `begun` is its output by then. */
export const HALF_DONE = "echo half > half.txt; echo begun; sleep 600";

/** An agent that runs a shell script. */
export const shellAgent = (script: string, more: Partial<Agent> = {}): Agent => ({
  ...createCommandAgent({
    argv: ["sh", "-c", script],
    program: () => ({ path: "/bin/sh", readable: [] }),
    missing: "no shell",
    modelApi: more.modelApi,
  }),
  ...more,
});

export const diskFull = (): Error => Object.assign(new Error("disk"), { code: "ENOSPC" });

export type RunFixture = Awaited<ReturnType<typeof openRunFixture>>;

/**
 * Groups tests that run prompts to their end on a fixture of their own. The last test of the group asserts that they left
 * no sandbox behind, except those that sessions hold.
 */
export function describeRuns(
  name: string,
  body: (fixture: () => RunFixture) => void,
  machine: Parameters<typeof openSandboxFixture>[0] = {},
): void {
  setDefaultTimeout(SLOW_TEST_TIMEOUT_MS);
  describe(name, () => {
    let fixture: RunFixture;
    beforeAll(async () => {
      fixture = await openRunFixture(machine);
    }, SLOW_TEST_TIMEOUT_MS);
    afterAll(() => fixture.close());
    body(() => fixture);

    test("no sandbox is left that no session holds", async () => {
      const held = await fixture.heldSandboxIds();
      for (const id of await readdir(fixture.sandboxesDir)) expect(held).toContain(id);
    });
  });
}

/** The runner of one machine, with an embedded database and a repository. */
async function openRunFixture(options: Parameters<typeof openSandboxFixture>[0]) {
  const folder = await mkdtemp(join(databaseFolder(), "pb-run-"));
  const [machine, repository, database] = await Promise.all([
    openSandboxFixture(options),
    makeRepository(),
    openMigrated(folder),
  ]);
  const { orm } = database;
  const leases = openLeaseManager({ orm, owner: crypto.randomUUID(), logger });
  const sandboxesDir = join(machine.dataDir, "sandboxes");
  const spend = openSpend({ config: readConfig({}), database, metrics: noMetrics(), logger });

  const depsFor = (agent: Agent, more: Partial<RunnerDeps> = {}): RunnerDeps => ({
    orm,
    asyncCommit: database.asyncCommit,
    leases,
    sandboxes: machine.provider,
    agents: catalogOf(agent),
    memory: createMemoryKeeper({ orm, maxBytes: 64 * MIB }),
    model: { anthropic: undefined, openai: undefined, google: undefined },
    spend,
    egress: { mode: "deny", allow: undefined },
    limits: LIMITS,
    maxUnpushedBytes: 64 * MIB,
    attest: createAttest({ key: openSigningKey(machine), version: "0", url: undefined }),
    version: "0",
    handover: "leave",
    metrics: noMetrics(),
    logger,
    ...more,
  });
  const submit = async (repo = repository.path) => {
    const created = await orm.transaction((tx) =>
      createSession(tx, {
        userId: "alice",
        repo,
        repoKey: repo,
        targetBranch: "main",
        parent: null,
        branchPrefix: "prompt/",
        prompt: { data: "Do it", text: "Do it", priority: 0 },
        wantsTitle: false,
        maxUnfinished: 1_000,
      }),
    );
    return { sessionId: created.sessionId, promptId: String(created.promptId) };
  };
  const claim = (promptId: string, owner = leases.owner) =>
    mustClaim(database, promptId, { owner, ttlMs: 8_000, host: machine.provider.host });
  const run = async (promptId: string, deps: RunnerDeps, shutdown = never) =>
    runClaimed(deps, await claim(promptId), shutdown);
  const textsOf = async (promptId: string) => {
    const rows = await orm
      .select()
      .from(message)
      .where(eq(message.promptId, promptId))
      .orderBy(asc(message.seq));
    // Lines of plain text share an event.
    return rows.flatMap(
      ({ data }) =>
        (data as { message?: { content: { text?: string }[] } }).message?.content[0]?.text?.split("\n") ?? [],
    );
  };
  const waitForText = (promptId: string, text: string) =>
    until(async () => (await textsOf(promptId)).includes(text), {
      what: `the agent to print ${text}`,
      timeoutMs: 20_000,
    });

  return {
    ...{
      machine,
      repository,
      database,
      leases,
      sandboxesDir,
      depsFor,
      submit,
      claim,
      run,
      textsOf,
      waitForText,
    },
    promptRow: (id: string) => promptRow(database, id),
    sessionRow: (id: string) => sessionRow(database, id),
    heldSandboxIds: async () => {
      const held = await orm
        .select({ config: session.sbxConfig })
        .from(session)
        .where(isNotNull(session.sbxConfig));
      return held.map(({ config }) => config?.id);
    },
    /** Makes a postponed prompt claimable now. */
    /** As if what the prompt and its model's API have asked to wait for were over. */
    skipBackoff: async (promptId: string) => {
      await orm.delete(modelApi);
      await orm.update(prompt).set({ notBefore: null }).where(eq(prompt.id, promptId));
    },
    cancel: async (sessionId: string, promptId: string) => {
      await orm.transaction((tx) => requestCancel(tx, { sessionId, by: "alice" }));
      leases.cancel(promptId);
    },
    /** Runs a prompt until its agent prints `text`; then this process shuts down and leaves the agent running. */
    detachAfter: async (promptId: string, deps: RunnerDeps, text: string) => {
      const shutdown = new AbortController();
      const running = run(promptId, deps, shutdown.signal);
      await waitForText(promptId, text);
      shutdown.abort(new Error("shutting down"));
      await running;
    },
    /** Kills the agent of a session and its supervisor, as a restart of the machine does. */
    killAgent: async (sessionId: string) => {
      const id = (await sessionRow(database, sessionId))?.sbxConfig?.id ?? "";
      await Bun.$`pkill -9 -f ${join(sandboxesDir, id)}`.nothrow().quiet();
      await killMarked(MARKER, id);
    },
    fileOnBranch: (branch: string | undefined, file: string) => repository.git("show", `${branch}:${file}`),
    async close() {
      await leases.close();
      await machine.remove();
      await database.close();
      await Promise.all([repository.remove(), rm(folder, { recursive: true, force: true })]);
    },
  };
}
