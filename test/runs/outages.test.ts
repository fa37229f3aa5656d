import { expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { createClaudeReader } from "../../src/agents/claude-reader.ts";
import { deadLetter, prompt } from "../../src/db/tables.ts";
import { revivePrompts } from "../../src/lifecycle/revive.ts";
import { addPrompt } from "../../src/prompts/create-store.ts";
import type { RunnerDeps } from "../../src/runs/runner.ts";
import { openRunWriter } from "../../src/runs/writer.ts";
import { RepositoryError, type Sandbox } from "../../src/sandboxes/sandbox.ts";
import { idleSandboxes } from "../../src/sandboxes/store.ts";
import { claimRun } from "../harness/seed.ts";
import { describeRuns, LIMITS, never, shellAgent } from "./fixture.ts";

const AWAY = "The host of owner/name could not be reached (could not resolve host: github.com).";

describeRuns("what is outside the service and does not answer", (fixture) => {
  /** Deps whose sandboxes fail to open, or to deliver, with this error, while there is one. */
  const withSandboxes = (broken: { open?: () => Error | undefined; deliver?: () => Error | undefined }) => {
    const { machine } = fixture();
    const open: RunnerDeps["sandboxes"]["open"] = async (...args) => {
      const failure = broken.open?.();
      if (failure) throw failure;
      return wrapped(await machine.provider.open(...args));
    };
    const wrapped = (sandbox: Sandbox): Sandbox => ({
      ...sandbox,
      async deliverWork(...rest) {
        const failure = broken.deliver?.();
        if (failure) throw failure;
        return sandbox.deliverWork(...rest);
      },
    });
    const reopen: RunnerDeps["sandboxes"]["reopen"] = async (...args) => {
      const found = await machine.provider.reopen(...args);
      return found && wrapped(found);
    };
    return { ...machine.provider, open, reopen };
  };
  const gitHostAway = () => new RepositoryError(AWAY, undefined, "git_host");
  const deadLetters = (promptId: string) =>
    fixture().database.orm.select().from(deadLetter).where(eq(deadLetter.entityId, promptId));
  /** As if the first failure had been this long ago. */
  const age = (promptId: string, hours: number) =>
    fixture()
      .database.orm.update(prompt)
      .set({
        outage: sql`jsonb_set(outage, '{since}', to_jsonb(${new Date(Date.now() - hours * 3_600_000).toISOString()}::text))`,
      })
      .where(eq(prompt.id, promptId));

  // Five attempts spanned 24 s.
  test("half a minute without the git host makes no dead letter; when it is back, the prompt is done", async () => {
    const { depsFor, submit, run, promptRow, sessionRow, skipBackoff, fileOnBranch } = fixture();
    const { sessionId, promptId } = await submit();
    let away = true;
    const sandboxes = withSandboxes({ open: () => (away ? gitHostAway() : undefined) });
    const deps = depsFor(shellAgent("echo work > work.txt"), { sandboxes });
    for (let tries = 1; tries <= 8; tries += 1) {
      await run(promptId, deps);
      const row = await promptRow(promptId);
      expect(row).toMatchObject({ status: "Queued", attempt: 0, failures: [], waitingFor: "git_host" });
      expect(row.outage).toMatchObject({ cause: "git_host", tries });
      expect(row.error).toMatch(
        new RegExp(
          `could not resolve host: github.com\\)\\. Tried ${tries === 1 ? "once, at" : `${tries} times since`} .*; next attempt at .* UTC\\.$`,
        ),
      );
      expect((await sessionRow(sessionId))?.waiting).toMatchObject({
        for: "git_host",
        reason: row.error ?? "",
      });
      await skipBackoff(promptId);
    }
    expect(await deadLetters(promptId)).toEqual([]);
    away = false;
    await run(promptId, deps);
    expect(await promptRow(promptId)).toMatchObject({
      status: "Completed",
      attempt: 1,
      outage: null,
      waitingFor: null,
    });
    const session = await sessionRow(sessionId);
    expect(session?.waiting).toBeNull();
    expect(await fileOnBranch(session?.branch, "work.txt")).toBe("work\n");
  });

  test("after RETRY_TRANSIENT_HOURS the prompt becomes a dead letter that says how long it was tried, and may be retried", async () => {
    const { database, depsFor, submit, run, promptRow, skipBackoff } = fixture();
    const { promptId } = await submit();
    const deps = depsFor(shellAgent("true"), { sandboxes: withSandboxes({ open: gitHostAway }) });
    await run(promptId, deps);
    await age(promptId, 5.9);
    await skipBackoff(promptId);
    await run(promptId, deps);
    expect(await promptRow(promptId)).toMatchObject({ status: "Queued" });
    await age(promptId, 6);
    await skipBackoff(promptId);
    await run(promptId, deps);
    expect(await promptRow(promptId)).toMatchObject({
      ...{ status: "Failed", errorKind: "transient" },
      error: `${AWAY} It was tried 3 times in 6 hours (RETRY_TRANSIENT_HOURS).`,
    });
    expect(await deadLetters(promptId)).toHaveLength(1);
    await database.orm.transaction((tx) => revivePrompts(tx, [promptId]));
    await run(promptId, deps);
    expect((await promptRow(promptId)).outage).toMatchObject({ tries: 1 });
  });

  test("with RETRY_TRANSIENT_HOURS=0 nothing is waited for", async () => {
    const { depsFor, submit, run, promptRow } = fixture();
    const { promptId } = await submit();
    const limits = { ...LIMITS, retryTransientMs: 0 };
    await run(
      promptId,
      depsFor(shellAgent("true"), { limits, sandboxes: withSandboxes({ open: gitHostAway }) }),
    );
    expect(await promptRow(promptId)).toMatchObject({ status: "Failed", errorKind: "transient" });
  });

  test("a prompt that waits holds no sandbox and nobody's slot, and the next prompt of its session stays behind it", async () => {
    const { database, depsFor, submit, run, heldSandboxIds, sessionRow } = fixture();
    const { sessionId, promptId } = await submit();
    await run(promptId, depsFor(shellAgent("true"), { sandboxes: withSandboxes({ open: gitHostAway }) }));
    const config = (await sessionRow(sessionId))?.sbxConfig;
    expect(await heldSandboxIds()).toContain(config?.id);
    expect(await idleSandboxes(database.orm)).toContainEqual({
      sessionId,
      config: config ?? null,
    } as never);
    const next = await database.orm.transaction((tx) =>
      addPrompt(tx, {
        userId: "alice",
        author: undefined,
        sessionId,
        data: "And",
        text: "And",
        priority: 9,
        maxUnfinished: 1_000,
      }),
    );
    expect(await claimRun(database.orm, next.id)).toBeUndefined();
    expect((await sessionRow(sessionId))?.waiting).toMatchObject({ for: "git_host" });
  });

  test("a prompt that waits is cancelled at once", async () => {
    const { depsFor, submit, run, cancel, promptRow, sessionRow } = fixture();
    const { sessionId, promptId } = await submit();
    await run(promptId, depsFor(shellAgent("true"), { sandboxes: withSandboxes({ open: gitHostAway }) }));
    await cancel(sessionId, promptId);
    expect(await promptRow(promptId)).toMatchObject({ status: "Cancelled", waitingFor: null });
    expect(await sessionRow(sessionId)).toMatchObject({ inboxStatus: "Cancelled", waiting: null });
  });

  test("work that cannot be pushed is kept, and a prompt of its own pushes it when the host is back", async () => {
    const {
      database,
      machine,
      depsFor,
      submit,
      run,
      promptRow,
      sessionRow,
      textsOf,
      skipBackoff,
      fileOnBranch,
    } = fixture();
    const { sessionId, promptId } = await submit();
    const reason =
      "owner/name could not be reached (x). The work is kept, and the next prompt continues from it.";
    const unpushed: RunnerDeps["sandboxes"]["open"] = async (...args) => {
      const sandbox = await machine.provider.open(...args);
      return {
        ...sandbox,
        async deliverWork(...rest) {
          const work = await sandbox.deliverWork(...rest);
          return { ...work, push: { pushed: false, reason, hostIsAway: true } };
        },
      };
    };
    let away = true;
    const push: RunnerDeps["sandboxes"]["push"] = async (...args) => {
      const work = await machine.provider.push(...args);
      return away ? { ...work, push: { pushed: false, reason, hostIsAway: true } } : work;
    };
    const deps = depsFor(shellAgent("echo work > work.txt"), {
      sandboxes: { ...machine.provider, open: unpushed, push },
    });
    await run(promptId, deps);
    expect(await promptRow(promptId)).toMatchObject({ status: "Completed" });
    expect((await textsOf(promptId)).at(-1)).toContain("It is pushed as soon as the host can be reached.");
    const [pushed] = await database.orm
      .select()
      .from(prompt)
      .where(sql`${prompt.sessionId} = ${sessionId} and ${prompt.kind} = 'push'`);
    const pushId = pushed?.id ?? "";
    expect(pushed).toMatchObject({ seq: 2, status: "Queued", userId: "alice" });
    expect(await sessionRow(sessionId)).toMatchObject({ inboxStatus: "Pending", promptSeq: 2 });
    for (let tries = 1; tries <= 7; tries += 1) {
      await run(pushId, deps);
      expect((await promptRow(pushId)).outage).toMatchObject({ cause: "git_host", tries });
      await skipBackoff(pushId);
    }
    away = false;
    await run(pushId, deps);
    expect(await promptRow(pushId)).toMatchObject({ status: "Completed" });
    expect(await fileOnBranch((await sessionRow(sessionId))?.branch, "work.txt")).toBe("work\n");
  });

  test("a run whose sandbox does not answer at its delivery waits with its work, without a slot", async () => {
    const { database, depsFor, submit, run, claim, cancel, promptRow, sessionRow, fileOnBranch } = fixture();
    const random = Math.random;
    // No pauses.
    Math.random = () => -0.5;
    try {
      let away = true;
      const failure = () =>
        away ? new RepositoryError("The sandbox is away.", undefined, "sandbox") : undefined;
      const deps = depsFor(shellAgent("echo once >> work.txt"), {
        sandboxes: withSandboxes({ deliver: failure }),
      });
      const { sessionId, promptId } = await submit();
      await run(promptId, deps);
      expect(await promptRow(promptId)).toMatchObject({
        status: "Running",
        waitingFor: "sandbox",
        leaseOwner: "detached",
      });
      expect((await sessionRow(sessionId))?.waiting).toMatchObject({ for: "sandbox" });
      // Not before its time.
      expect(
        await claimRun(database.orm, promptId, { host: fixture().machine.provider.host }),
      ).toBeUndefined();
      const due = () =>
        database.orm.update(prompt).set({ notBefore: sql`now()` }).where(eq(prompt.id, promptId));
      for (let tries = 2; tries <= 7; tries += 1) {
        await due();
        await run(promptId, deps);
        expect((await promptRow(promptId)).outage).toMatchObject({ tries });
      }
      away = false;
      await due();
      await run(promptId, deps);
      expect(await promptRow(promptId)).toMatchObject({ status: "Completed", attempt: 1 });
      expect(await fileOnBranch((await sessionRow(sessionId))?.branch, "work.txt")).toBe("once\n");

      away = true;
      const other = await submit();
      await run(other.promptId, deps);
      await cancel(other.sessionId, other.promptId);
      expect(await promptRow(other.promptId)).toMatchObject({ status: "Cancelled", process: null });
      await expect(claim(other.promptId)).rejects.toThrow("could not be claimed");
    } finally {
      Math.random = random;
    }
  });

  test("a runner that is killed between two attempts takes nothing from the series", async () => {
    const { database, depsFor, submit, run, claim, promptRow, skipBackoff } = fixture();
    const { promptId } = await submit();
    const deps = depsFor(shellAgent("true"), { sandboxes: withSandboxes({ open: gitHostAway }) });
    await run(promptId, deps);
    const { outage } = await promptRow(promptId);
    await skipBackoff(promptId);
    const killed = await claim(promptId, "killed");
    expect(await promptRow(promptId)).toMatchObject({ waitingFor: null, outage });
    await database.orm
      .update(prompt)
      .set({ leaseExpiresAt: sql`now() - interval '1 minute'` })
      .where(eq(prompt.id, promptId));
    await run(promptId, deps);
    expect(await promptRow(promptId)).toMatchObject({
      outage: { since: outage?.since, tries: 2 },
      attempt: 0,
    });
    // Its writes change nothing any more.
    const late = openRunWriter({ orm: database.orm, run: killed, signal: never });
    await expect(late.handOver()).rejects.toThrow("another runner");
  });

  test("an agent without the tools of its sandbox is stopped, and its prompt is tried again, never completed", async () => {
    const { depsFor, submit, run, promptRow, sessionRow, skipBackoff, fileOnBranch } = fixture();
    const { promptId, sessionId } = await submit();
    let state = "failed";
    const agent = shellAgent("");
    const claude: typeof agent = {
      ...agent,
      command: (request) => {
        const init = { type: "system", subtype: "init", mcp_servers: [{ name: "sandbox", status: state }] };
        const result = { type: "result", subtype: "success", is_error: false, result: "A title" };
        const lines = [init, result].map((line) => `echo '${JSON.stringify(line)}'`);
        // One without tools does not end by itself here.
        const wait = state === "failed" ? "sleep 600" : "echo work > work.txt";
        return { ...agent.command(request), argv: ["/bin/sh", "-c", [...lines, wait].join("; ")] };
      },
      reader: () => createClaudeReader(true),
    };
    await run(promptId, depsFor(claude));
    const row = await promptRow(promptId);
    expect(row).toMatchObject({ status: "Queued", waitingFor: "sandbox", attempt: 0 });
    expect(row.error).toContain("The agent could not connect to the tools of its sandbox.");
    state = "connected";
    await skipBackoff(promptId);
    await run(promptId, depsFor(claude));
    expect(await promptRow(promptId)).toMatchObject({ status: "Completed" });
    expect(await fileOnBranch((await sessionRow(sessionId))?.branch, "work.txt")).toBe("work\n");
  });

  // Writes are retried for as long as the lease lasts; what a run reads to prepare is not.
  test("the service's own database is waited for like anything else, and no attempt is counted", async () => {
    const { depsFor, submit, run, promptRow, sessionRow, skipBackoff, fileOnBranch } = fixture();
    const { sessionId, promptId } = await submit();
    let away = true;
    const deps = depsFor(shellAgent("echo work >> work.txt"));
    const restore: typeof deps.memory.restore = async (...args) => {
      if (away) throw Object.assign(new Error("the connection broke"), { code: "CONNECTION_CLOSED" });
      return deps.memory.restore(...args);
    };
    const unlucky = { ...deps, memory: { ...deps.memory, restore } };
    for (let tries = 1; tries <= 6; tries += 1) {
      await run(promptId, unlucky);
      expect(await promptRow(promptId)).toMatchObject({
        ...{ status: "Queued", attempt: 0, failures: [], waitingFor: "database" },
        ...{ outage: { cause: "database", tries } },
        error: expect.stringContaining("The service's database could not be reached. Tried "),
      });
      await skipBackoff(promptId);
    }
    expect(await deadLetters(promptId)).toEqual([]);
    away = false;
    await run(promptId, unlucky);
    expect(await promptRow(promptId)).toMatchObject({ status: "Completed", attempt: 1, outage: null });
    expect(await fileOnBranch((await sessionRow(sessionId))?.branch, "work.txt")).toBe("work\n");
  });
});
