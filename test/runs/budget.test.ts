import { expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import type { Agent } from "../../src/agents/agent.ts";
import { readConfig } from "../../src/config/config.ts";
import { rowsOf } from "../../src/db/client.ts";
import { agentMemory } from "../../src/db/memory-tables.ts";
import { auditPending } from "../../src/db/safety-tables.ts";
import { prompt } from "../../src/db/tables.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { resumePrompt } from "../../src/prompts/resume-store.ts";
import { retryPrompt } from "../../src/prompts/retry-store.ts";
import { idleSandboxes } from "../../src/sandboxes/store.ts";
import { Secret } from "../../src/shared/secret.ts";
import { openSpend } from "../../src/spend/spend.ts";
import { noMetrics } from "../harness/metrics.ts";
import { asking, askModel } from "./asking-agent.ts";
import { describeRuns, type RunFixture, shellAgent } from "./fixture.ts";

/** claude-haiku-4-5: 1 dollar a million tokens of input, 5 of output. */
const CALL_USD = 0.01;
const USAGE = { input_tokens: 2_000, output_tokens: 1_600 };

/** A model with a bill of its own. */
function startModel() {
  const bill = { calls: 0 };
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch() {
      bill.calls += 1;
      return Response.json({ type: "message", model: "claude-haiku-4-5", usage: USAGE });
    },
  });
  const anthropic = { upstream: `http://127.0.0.1:${server.port}`, apiKey: new Secret("sk-test") };
  return {
    ...{ bill, model: { anthropic, openai: undefined, google: undefined } },
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

/** Asks the model; fails if it is refused. */
const ASK = askModel(1600);
/** Does a piece of work for each answer, without end. */
const LOOP = `while ${ASK}; do echo step >> work.txt; done; echo refused; exit 1`;

describeRuns("what a run may cost", (fixture) => {
  const spendOf = ({ database }: RunFixture, env: Record<string, string>) =>
    openSpend({
      ...{ config: readConfig(env), database, metrics: noMetrics() },
      logger: createLogger({ level: "silent" }),
    });
  const loop = (
    env: Record<string, string>,
    model: ReturnType<typeof startModel>,
    agent = shellAgent(LOOP),
  ) => fixture().depsFor(asking(agent), { model: model.model, spend: spendOf(fixture(), env) });
  const steps = async (sessionId: string) => {
    const { sessionRow, fileOnBranch } = fixture();
    return (await fileOnBranch((await sessionRow(sessionId))?.branch, "work.txt")).split("\n").length - 1;
  };
  test("a runaway loop stops before it costs more; its work is delivered, and it waits for its user", async () => {
    const { submit, run, promptRow, sessionRow, textsOf, database } = fixture();
    await using model = startModel();
    const { sessionId, promptId } = await submit();
    const prompts: string[] = [];
    const plain = shellAgent(LOOP);
    const agent: Agent = {
      ...plain,
      command(request) {
        prompts.push(request.prompt);
        return plain.command(request);
      },
    };
    const deps = loop({ BUDGET_USD_PER_RUN: "0.05" }, model, agent);
    await run(promptId, deps);
    // The fifth would have been the last of it, but could have cost a little more.
    expect(model.bill.calls).toBe(4);
    const row = await promptRow(promptId);
    expect(row).toMatchObject({
      ...{ status: "Queued", waitingFor: "budget", suspended: true, attempt: 0, errorKind: "limit" },
      usage: { cost_usd: 4 * CALL_USD, turns: 4, input_tokens: 8_000, output_tokens: 6_400 },
    });
    expect(row.error).toContain("The budget is used up: of $0.05 for this run, $0.04 are spent");
    expect(row.error).toContain("It goes on when its user raises the budget.");
    expect(await steps(sessionId)).toBe(4);
    expect(await sessionRow(sessionId)).toMatchObject({
      inboxStatus: "Pending",
      unread: true,
      waiting: {
        for: "budget",
        until: null,
        budget: { scope: "run", limit_usd: 0.05, spent_usd: 0.04, call_usd: expect.any(Number) },
      },
    });
    expect(await textsOf(promptId)).toContain("refused");
    // It is given back while nobody knows when it goes on.
    expect(await idleSandboxes(database.orm)).toContainEqual(expect.objectContaining({ sessionId }));

    // Without more money it waits on, and nothing is asked of the model.
    await retryPrompt(database.orm, { userId: "alice", id: promptId });
    await run(promptId, deps);
    expect(model.bill.calls).toBe(4);
    expect(await promptRow(promptId)).toMatchObject({ status: "Queued", waitingFor: "budget" });

    const resume = (usd: number, userId = "alice") =>
      resumePrompt(database.orm, { userId, id: promptId, usd });
    await expect(resume(0.04)).rejects.toThrow("more than the $0.04");
    await expect(resume(1, "bob")).rejects.toThrow("does not exist");
    await resume(0.08);
    await expect(resume(0.09)).rejects.toThrow("does not wait for its budget");
    await run(promptId, deps);
    expect(model.bill.calls).toBe(7);
    expect(await steps(sessionId)).toBe(7);
    expect(await promptRow(promptId)).toMatchObject({ waitingFor: "budget", usage: { cost_usd: 0.07 } });
    expect(prompts.at(-1)).toContain("because what it may cost was used up");
    expect(prompts.at(-1)).toContain("Do it");
    // What it said before is not superseded: it goes on.
    expect((await textsOf(promptId)).filter((text) => text === "refused").length).toBeGreaterThan(1);
    const audited = await database.orm
      .select()
      .from(auditPending)
      .where(eq(auditPending.target, `prompt:${promptId}`));
    expect(audited.find(({ action }) => action === "prompt.resume")).toMatchObject({
      ...{ actor: "alice", detail: { budget_usd: 0.08, spent_usd: 0.04 } },
    });
    expect(await rowsOf(database.orm, sql`select 1 from spend where reserved <> 0`)).toEqual([]);
    expect(await database.orm.select().from(agentMemory)).toEqual([]);
  });

  test("what was asked for is no more than what is allowed when it starts", async () => {
    const { submit, run, promptRow, database } = fixture();
    await using model = startModel();
    const { promptId } = await submit();
    // As if the deployment, or its project, had allowed more when it was sent.
    await database.orm.update(prompt).set({ budget: 1e9 }).where(eq(prompt.id, promptId));
    await run(promptId, loop({ BUDGET_USD_PER_RUN: "0.03" }, model));
    expect(model.bill.calls).toBe(2);
    // What its user has raised it to is.
    await resumePrompt(database.orm, { userId: "alice", id: promptId, usd: 0.05 });
    await run(promptId, loop({ BUDGET_USD_PER_RUN: "0.03" }, model));
    expect(model.bill.calls).toBe(4);
    expect(await promptRow(promptId)).toMatchObject({ waitingFor: "budget" });
  });

  test("work that cannot be pushed now is pushed when the prompt goes on, which is said", async () => {
    const { machine, submit, run, promptRow, sessionRow, textsOf, database } = fixture();
    await using model = startModel();
    const { sessionId, promptId } = await submit();
    let away = true;
    const open: typeof machine.provider.open = async (...args) => {
      const sandbox = await machine.provider.open(...args);
      return {
        ...sandbox,
        async deliverWork(...rest) {
          const work = await sandbox.deliverWork(...rest);
          const push = { pushed: false, reason: "The host is away.", hostIsAway: true } as const;
          return away ? { ...work, push } : work;
        },
      };
    };
    const deps = {
      ...loop({ BUDGET_USD_PER_RUN: "0.03" }, model),
      sandboxes: { ...machine.provider, open },
    };
    await run(promptId, deps);
    expect(await promptRow(promptId)).toMatchObject({ status: "Queued", waitingFor: "budget" });
    expect(await sessionRow(sessionId)).toMatchObject({ waiting: { for: "budget" } });
    // Cause: it was said to be pushed as soon as the host is back, but what does that waits behind this prompt.
    const said = (await textsOf(promptId)).join("\n");
    expect(said).toContain("The host is away. It is pushed once the prompt has gone on.");
    away = false;
    await resumePrompt(database.orm, { userId: "alice", id: promptId, usd: 0.05 });
    await run(promptId, deps);
    expect(await steps(sessionId)).toBe(4);
  });

  test("the budget of a day: it goes on by itself on the next one", async () => {
    const { submit, run, promptRow, database } = fixture();
    await using model = startModel();
    const { promptId } = await submit();
    const [used] = await rowsOf<{ spent: number }>(
      database.orm,
      sql`select coalesce(sum(spent), 0)::float8 as spent from spend where scope = 'user_day'`,
    );
    const limit = (Number(used?.spent) / 1e9 + 0.03).toFixed(9);
    await run(promptId, loop({ BUDGET_USD_PER_USER_DAY: limit }, model));
    expect(model.bill.calls).toBe(2);
    const row = await promptRow(promptId);
    expect(row).toMatchObject({ status: "Queued", waitingFor: "budget" });
    const midnight = new Date();
    midnight.setUTCHours(24, 0, 0, 0);
    expect(row.notBefore).toEqual(midnight);
  });

  test("the budget of a session, and the number of calls, end the run with a clear reason", async () => {
    const { submit, run, promptRow } = fixture();
    for (const [env, calls, reason, next] of [
      [
        { BUDGET_USD_PER_SESSION: "0.03" },
        2,
        "of $0.03 for this session, $0.02 are spent",
        "Only an operator can raise it (BUDGET_USD_PER_SESSION); a fork of the session has a budget of its own.",
      ],
      [
        { RUN_MAX_MODEL_CALLS: "3" },
        3,
        "all of its 3 model calls (RUN_MAX_MODEL_CALLS)",
        "Send a follow-up to have it go on.",
      ],
    ] as const) {
      await using model = startModel();
      const { sessionId, promptId } = await submit();
      await run(promptId, loop(env, model));
      expect(model.bill.calls).toBe(calls);
      const row = await promptRow(promptId);
      expect(row).toMatchObject({ status: "Failed", errorKind: "limit", waitingFor: null });
      expect(row.error).toContain(reason);
      expect(row.error).toEndWith(next);
      expect(await steps(sessionId)).toBe(calls);
    }
  });

  test("an agent that does not care is stopped", async () => {
    const { submit, run, promptRow } = fixture();
    await using model = startModel();
    const { promptId } = await submit();
    const deaf = shellAgent(`while :; do ${ASK}; sleep 0.05; done`);
    await run(promptId, loop({ RUN_MAX_MODEL_CALLS: "1" }, model, deaf));
    expect(await promptRow(promptId)).toMatchObject({ status: "Failed", errorKind: "limit" });
    expect(model.bill.calls).toBe(1);
  });

  /** Cause: Codex prints what it was answered, ends its turn and exits well, as if it were done. */
  test("an agent that says it is done after its calls were refused is not", async () => {
    const { submit, run, promptRow, sessionRow, textsOf } = fixture();
    const polite = shellAgent(LOOP.replace("exit 1", "exit 0"));
    await using model = startModel();
    const { sessionId, promptId } = await submit();
    await run(promptId, loop({ BUDGET_USD_PER_RUN: "0.03" }, model, polite));
    expect(await promptRow(promptId)).toMatchObject({ status: "Queued", waitingFor: "budget" });
    expect(await steps(sessionId)).toBe(2);
    expect((await textsOf(promptId)).join()).toContain("The budget is used up");

    const other = await submit();
    await run(other.promptId, loop({ MODELS_ALLOWED: "gpt-*" }, model, polite));
    expect(await promptRow(other.promptId)).toMatchObject({
      ...{ status: "Failed", error: "The model claude-haiku-4-5 may not be used here (MODELS_ALLOWED)." },
    });
    expect(model.bill.calls).toBe(2);
    // Of an agent that has worked, one call that is refused says nothing.
    const third = await submit();
    const worked = shellAgent(`${ASK}; ${ASK.replaceAll("claude-haiku", "gpt-haiku")}; exit 0`);
    await run(third.promptId, loop({ MODELS_ALLOWED: "claude-*" }, model, worked));
    expect(await promptRow(third.promptId)).toMatchObject({ status: "Completed" });
    expect(await sessionRow(third.sessionId)).toMatchObject({ inboxStatus: "Completed" });
  });

  test("what an agent says of itself is beside it, bounded, and no money", async () => {
    const { submit, run, promptRow } = fixture();
    await using model = startModel();
    const plain = shellAgent(ASK);
    const boasting: Agent = {
      ...plain,
      reader() {
        const reader = plain.reader();
        return {
          ...reader,
          verdict: (exit) => ({ ...reader.verdict(exit), usage: { turns: 99, cost_usd: 0 } }) as never,
        };
      },
    };
    const { promptId } = await submit();
    await run(promptId, loop({}, model, boasting));
    expect((await promptRow(promptId)).usage).toMatchObject({
      ...{ turns: 1, cost_usd: CALL_USD, reported_turns: 99, reported_cost_usd: 0 },
    });
  });
});
