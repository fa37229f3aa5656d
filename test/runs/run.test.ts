import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { asc, eq, sql } from "drizzle-orm";
import type { Agent } from "../../src/agents/agent.ts";
import { createCommandAgent } from "../../src/agents/command.ts";
import type { Database } from "../../src/db/client.ts";
import { openEmbedded } from "../../src/db/embedded.ts";
import { migrate } from "../../src/db/migrate.ts";
import { deadLetter, message, prompt, session } from "../../src/db/tables.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { requestCancel } from "../../src/runs/cancel-store.ts";
import { DETACHED } from "../../src/runs/claim-store.ts";
import { type LeaseKeeper, openLeaseKeeper } from "../../src/runs/leases.ts";
import type { ClaimedRun } from "../../src/runs/run.ts";
import { type RunnerDeps, runClaimed } from "../../src/runs/run-prompt.ts";
import { endMarked, MARKER } from "../../src/sandboxes/processes.ts";
import { addPrompt, createSession } from "../../src/sessions/create-store.ts";
import { claimRun } from "../harness/databases.ts";
import { noMetrics } from "../harness/metrics.ts";
import { makeRepository, type TestRepository } from "../harness/repository.ts";
import { until } from "../harness/until.ts";
import { openStage, type SandboxStage } from "../sandboxes/stage.ts";

const LONG = 60_000;
const logger = createLogger({ level: "silent" });
const LIMITS = {
  timeoutMs: 60_000,
  silenceMs: 0,
  resultGraceMs: 30_000,
  minFreeBytes: 0,
  maxCheckoutBytes: 0,
};
const never = new AbortController().signal;

/** Runs of one machine on the embedded database, with a shell script as the agent. */
describe("the life of one prompt", () => {
  let stage: SandboxStage;
  let repository: TestRepository;
  let database: Database;
  let folder: string;
  let leases: LeaseKeeper;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "pb-run-"));
    [stage, repository, database] = await Promise.all([
      openStage(),
      makeRepository(),
      openEmbedded({ dataDir: folder }),
    ]);
    await migrate({ database, queue: false });
    leases = openLeaseKeeper({ orm: database.orm, logger });
  }, LONG);
  afterAll(async () => {
    await leases.close();
    await stage.remove();
    await database.close();
    await Promise.all([repository.remove(), rm(folder, { recursive: true, force: true })]);
  });

  const agentOf = (script: string, more: Partial<Agent> = {}): Agent => ({
    ...createCommandAgent({
      argv: ["sh", "-c", script],
      program: () => ({ path: "/bin/sh", readable: [] }),
      missing: "no shell",
      needsModel: false,
    }),
    ...more,
  });
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

  test(
    "cancelled at work: the whole tree is gone, the partial work is on the branch",
    async () => {
      const { sessionId, promptId } = await submit();
      const script = `trap "" TERM; echo half > half.txt
        setsid sh -c 'trap "" TERM HUP; while :; do sleep 0.05; done' & echo begun; while :; do sleep 0.05; done`;
      const running = run(promptId, depsFor(agentOf(script)));
      await says(promptId, "begun");
      const sandboxId = (await sessionRow(sessionId))?.sbxConfig?.id ?? "";
      await cancel(sessionId, promptId);
      await running;
      expect(await promptRow(promptId)).toMatchObject({
        status: "Cancelled",
        error: "The run was cancelled.",
      });
      const row = await sessionRow(sessionId);
      expect(row).toMatchObject({ inboxStatus: "Cancelled", cancellationStatus: "Cancelled" });
      expect(await fileOn(row?.branch, "half.txt")).toBe("half\n");
      expect(await Bun.$`grep -lsz ${`${MARKER}=${sandboxId}`} /proc/[0-9]*/environ`.nothrow().text()).toBe(
        "",
      );
    },
    LONG,
  );

  test(
    "cancelled before it began: it never starts; a follow-up runs",
    async () => {
      const { sessionId, promptId } = await submit();
      const claimed = await claim(promptId);
      await cancel(sessionId, promptId);
      await runClaimed(depsFor(agentOf("echo started")), { ...claimed, cancelRequested: true }, never);
      expect(await textsOf(promptId)).toEqual(["The run was cancelled."]);
      expect(await promptRow(promptId)).toMatchObject({ status: "Cancelled" });
      const { id: next } = await database.orm.transaction((tx) =>
        addPrompt(tx, {
          userId: "alice",
          sessionId,
          data: "Again",
          text: "Again",
          priority: 0,
          maxUnfinished: 9,
        }),
      );
      await run(next, depsFor(agentOf("cat")));
      expect(await promptRow(next)).toMatchObject({ status: "Completed" });
      expect(await sessionRow(sessionId)).toMatchObject({
        inboxStatus: "Completed",
        cancellationStatus: null,
      });
    },
    LONG,
  );

  test.each([
    ["timeout", "sleep 600", { timeoutMs: 500 }, "took longer than"],
    ["silence", "echo one; sleep 600", { silenceMs: 1 }, "neither printed nor did"],
  ])(
    "a run is ended at its limit: %s",
    async (_, script, limits, reason) => {
      const { promptId } = await submit();
      await run(promptId, depsFor(agentOf(script), { limits: { ...LIMITS, ...limits } }));
      expect(await promptRow(promptId)).toMatchObject({ status: "Failed", errorKind: "limit" });
      expect((await promptRow(promptId)).error).toContain(reason);
    },
    LONG,
  );

  test(
    "a run during which the disk fills is cut short, and starts over from a clean checkout once there is space",
    async () => {
      const { promptId, sessionId } = await submit();
      let looks = 0;
      // There is space for it to start, and none when it is looked at again.
      const freeBytes = async () => (looks++ === 1 ? 0 : 1);
      const limited = { limits: { ...LIMITS, minFreeBytes: 1 }, sandboxes: { ...stage.provider, freeBytes } };
      await run(promptId, depsFor(agentOf("echo x > half; sleep 600"), limited));
      expect(await promptRow(promptId)).toMatchObject({
        status: "Queued",
        failures: [{ kind: "transient", error: expect.stringContaining("disk") }],
      });
      await database.orm.update(prompt).set({ notBefore: null }).where(eq(prompt.id, promptId));
      await run(promptId, depsFor(agentOf("[ ! -e half ] && echo x > x"), limited));
      expect(await promptRow(promptId)).toMatchObject({ status: "Completed" });
      expect(await sessionRow(sessionId)).toMatchObject({ inboxStatus: "Completed" });
    },
    LONG,
  );

  test(
    "an agent that uses the processor is not silent",
    async () => {
      const { promptId } = await submit();
      const script = "end=$(($(date +%s) + 5)); while [ $(date +%s) -lt $end ]; do :; done; echo done";
      const limits = { ...LIMITS, silenceMs: 1_500 };
      await run(promptId, depsFor(agentOf(script), { limits }));
      expect(await promptRow(promptId)).toMatchObject({ status: "Completed" });
    },
    LONG,
  );

  test(
    "failures: what may pass waits and is tried again, what must be set fails at once, the agent's own are its user's",
    async () => {
      const away = await submit("file:///nowhere");
      await run(away.promptId, depsFor(agentOf("true")));
      expect(await promptRow(away.promptId)).toMatchObject({ status: "Failed", errorKind: "configuration" });
      const own = await submit();
      await run(own.promptId, depsFor(agentOf("exit 3")));
      expect(await promptRow(own.promptId)).toMatchObject({ status: "Failed", errorKind: "agent" });
      expect(await database.orm.select().from(deadLetter)).toEqual([]);

      const broken = await submit();
      const open = () => Promise.reject(Object.assign(new Error("disk"), { code: "ENOSPC" }));
      const deps = depsFor(agentOf("true"), { sandboxes: { ...stage.provider, open } });
      for (let attempt = 1; attempt <= 5; attempt += 1) {
        await run(broken.promptId, deps);
        const row = await promptRow(broken.promptId);
        expect(row).toMatchObject({
          attempt,
          errorKind: "transient",
          status: attempt < 5 ? "Queued" : "Failed",
        });
        await database.orm.update(prompt).set({ notBefore: null }).where(eq(prompt.id, broken.promptId));
      }
      const [entry] = await database.orm
        .select()
        .from(deadLetter)
        .where(eq(deadLetter.entityId, broken.promptId));
      expect(entry).toMatchObject({ kind: "transient", retryCount: 5, userId: "alice" });
      if (!entry) throw new Error("no dead letter");
      const { failures } = entry.entityData as { failures: unknown[] };
      expect(failures).toHaveLength(5);
      expect(await sessionRow(broken.sessionId)).toMatchObject({ sessionStatus: "Failed" });
    },
    LONG,
  );

  test(
    "while the disk is nearly full nothing starts: the prompt waits, says why, and no attempt is counted",
    async () => {
      const { promptId } = await submit();
      const limits = { ...LIMITS, minFreeBytes: 2 ** 60 };
      await run(promptId, depsFor(agentOf("true"), { limits }));
      const row = await promptRow(promptId);
      expect(row).toMatchObject({ status: "Queued", attempt: 0, errorKind: "transient" });
      expect(row.error).toContain("nearly full");
    },
    LONG,
  );

  test(
    "work that cannot be taken to its branch for a moment is taken a moment later, not done again",
    async () => {
      const { sessionId, promptId } = await submit();
      let failures = 0;
      const open: RunnerDeps["sandboxes"]["open"] = async (...args) => {
        const sandbox = await stage.provider.open(...args);
        return {
          ...sandbox,
          async collect(...rest) {
            const result = await sandbox.collect(...rest);
            if (failures++ === 0) throw Object.assign(new Error("disk"), { code: "ENOSPC" });
            return result;
          },
        };
      };
      const deps = depsFor(agentOf("echo once >> work.txt"), { sandboxes: { ...stage.provider, open } });
      await run(promptId, deps);
      expect(await promptRow(promptId)).toMatchObject({ status: "Completed", attempt: 1 });
      expect(await fileOn((await sessionRow(sessionId))?.branch, "work.txt")).toBe("once\n");
    },
    LONG,
  );

  test(
    "checkouts have a budget: above it the next run waits and says so",
    async () => {
      const { promptId } = await submit();
      const sandboxes = { ...stage.provider, usedBytes: async () => 11 };
      const limits = { ...LIMITS, maxCheckoutBytes: 10 };
      await run(promptId, depsFor(agentOf("true"), { limits, sandboxes }));
      expect((await promptRow(promptId)).error).toContain("CHECKOUT_DISK_MB");
      expect(await stage.provider.usedBytes()).toBeGreaterThan(1024);
    },
    LONG,
  );

  test(
    "an agent that says that it is done and does not end is ended, and has done its work",
    async () => {
      const { promptId } = await submit();
      const result = JSON.stringify({
        type: "result",
        subtype: "success",
        is_error: false,
        result: "All done.",
      });
      const script = `echo work > work.txt; echo '${result}'; sleep 600`;
      await run(promptId, depsFor(agentOf(script), { limits: { ...LIMITS, resultGraceMs: 300 } }));
      expect(await promptRow(promptId)).toMatchObject({ status: "Completed", error: null });
      expect((await textsOf(promptId)).join("\n")).toContain("did not end; it was ended");
    },
    LONG,
  );

  test(
    "a runner that was fenced off leaves the agent to the one that adopted it, and no line is lost or doubled",
    async () => {
      const { promptId } = await submit();
      const script = "for i in $(seq 60); do echo line $i; sleep 0.03; done; cat > work.txt";
      const first = run(promptId, depsFor(agentOf(script)));
      await says(promptId, "line 5");
      await database.orm
        .update(prompt)
        .set({ leaseExpiresAt: sql`now() - interval '1 second'` })
        .where(eq(prompt.id, promptId));
      const other = openLeaseKeeper({ orm: database.orm, logger });
      const claimed = await claim(promptId, other.owner);
      await runClaimed(depsFor(agentOf(script), { leases: other }), claimed, never);
      await first;
      await other.close();
      expect(await promptRow(promptId)).toMatchObject({ status: "Completed", attempt: 1 });
      expect((await textsOf(promptId)).slice(0, 60)).toEqual(
        Array.from({ length: 60 }, (_, n) => `line ${n + 1}`),
      );
    },
    LONG,
  );

  test(
    "an agent that was killed goes on in its checkout where it remembers, with a word on what happened",
    async () => {
      const { sessionId, promptId } = await submit();
      const stop = new AbortController();
      const first = run(
        promptId,
        depsFor(agentOf("echo half > half.txt; echo begun; sleep 600")),
        stop.signal,
      );
      await says(promptId, "begun");
      stop.abort(new Error("shutting down"));
      await first;
      expect(await promptRow(promptId)).toMatchObject({ status: "Running", leaseOwner: DETACHED });
      const sandboxId = (await sessionRow(sessionId))?.sbxConfig?.id ?? "";
      await Bun.$`pkill -9 -f ${join(stage.dataDir, "sandboxes", sandboxId)}`.nothrow().quiet();
      await endMarked(MARKER, sandboxId);
      const remembers = agentOf("cat half.txt; cat", { hasTranscript: async () => true });
      await run(promptId, depsFor(remembers));
      const texts = await textsOf(promptId);
      expect(texts).toContain("The service was interrupted; the agent goes on where it was.");
      expect(texts).toContain("half");
      expect(texts.join("\n")).toContain("You were interrupted");
      expect(texts.join("\n")).toContain("Do it");
      expect(await promptRow(promptId)).toMatchObject({ status: "Completed", attempt: 2 });
    },
    LONG,
  );

  test(
    "an agent that is killed with its keeper while its runner watches: another attempt, from a clean checkout",
    async () => {
      const { sessionId, promptId } = await submit();
      const first = run(promptId, depsFor(agentOf("echo half > half.txt; echo begun; sleep 600")));
      await says(promptId, "begun");
      const sandboxId = (await sessionRow(sessionId))?.sbxConfig?.id ?? "";
      await Bun.$`pkill -9 -f ${join(stage.dataDir, "sandboxes", sandboxId)}`.nothrow().quiet();
      await endMarked(MARKER, sandboxId);
      await first;
      expect(await promptRow(promptId)).toMatchObject({
        status: "Queued",
        errorKind: "transient",
        attempt: 1,
      });
      await database.orm.update(prompt).set({ notBefore: null }).where(eq(prompt.id, promptId));
      await run(promptId, depsFor(agentOf("ls; cat > whole.txt")));
      expect(await promptRow(promptId)).toMatchObject({ status: "Completed", attempt: 2 });
      expect(await textsOf(promptId)).not.toContain("half.txt");
    },
    LONG,
  );

  test(
    "work that may have left the sandbox is not done a second time elsewhere: the prompt has been interrupted",
    async () => {
      const { promptId } = await submit();
      const claimed = await claim(promptId);
      const process = {
        host: "gone",
        id: crypto.randomUUID(),
        pid: 1,
        started: 1,
        boot: "b",
        delivering: true,
      };
      const sbxConfig = { provider: "local", id: crypto.randomUUID(), host: "gone" } as const;
      await runClaimed(depsFor(agentOf("echo started")), { ...claimed, process, sbxConfig }, never);
      expect(await promptRow(promptId)).toMatchObject({ status: "Failed", errorKind: "interrupted" });
      expect((await textsOf(promptId)).join()).not.toContain("started");
    },
    LONG,
  );

  test(
    "a prompt whose runners keep dying is given up, with its work on the branch and a dead letter",
    async () => {
      const { sessionId, promptId } = await submit();
      const stop = new AbortController();
      const first = run(
        promptId,
        depsFor(agentOf("echo half > half.txt; echo begun; sleep 600")),
        stop.signal,
      );
      await says(promptId, "begun");
      stop.abort(new Error("shutting down"));
      await first;
      const sandboxId = (await sessionRow(sessionId))?.sbxConfig?.id ?? "";
      await Bun.$`pkill -9 -f ${join(stage.dataDir, "sandboxes", sandboxId)}`.nothrow().quiet();
      await endMarked(MARKER, sandboxId);
      await database.orm.update(prompt).set({ attempt: 5 }).where(eq(prompt.id, promptId));
      await run(promptId, depsFor(agentOf("echo started again")));
      expect(await promptRow(promptId)).toMatchObject({ status: "Failed", errorKind: "poison" });
      const row = await sessionRow(sessionId);
      expect(row).toMatchObject({ sessionStatus: "Failed" });
      expect(await fileOn(row?.branch, "half.txt")).toBe("half\n");
      expect(
        await database.orm.select().from(deadLetter).where(eq(deadLetter.entityId, promptId)),
      ).toHaveLength(1);
    },
    LONG,
  );

  test("nothing is left but what sessions hold", async () => {
    const held = await database.orm.select({ config: session.sbxConfig }).from(session);
    const ids = held.flatMap(({ config }) => config?.id ?? []);
    for (const id of await readdir(join(stage.dataDir, "sandboxes"))) expect(ids).toContain(id);
  });
});
