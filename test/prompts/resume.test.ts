import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { auditPending } from "../../src/db/safety-tables.ts";
import { outbox } from "../../src/db/service-tables.ts";
import { spend } from "../../src/db/spend-tables.ts";
import { prompt } from "../../src/db/tables.ts";
import { revivePrompts } from "../../src/lifecycle/revive.ts";
import { NANO } from "../../src/spend/money.ts";
import { clientOf } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { COMPLETED, mustClaim, promptRow, sessionRow, writerOf } from "../harness/seed.ts";

const LIMIT = 2;
const SPENT = 1.93;
const REASON = "The budget is used up: of $2.00 for this run, $1.93 are spent.";
const TOMORROW = new Date(Date.now() + 86_400_000);

describeEachDatabase("a prompt that waits for its budget", (database) => {
  const { send, create } = clientOf(database);
  const resume = (id: string, usd: unknown, user?: string) =>
    send("POST", `/prompts/${id}/resume`, { budget_usd: usd }, user);
  const read = async (id: string) => (await send("GET", `/prompts/${id}`)).body.prompt;
  const session = async (id: string) => (await send("GET", `/sessions/${id}`)).body.session;
  /** Ends the run of a prompt as a runner does whose budget is used up. @param until when there is a new one. */
  const suspend = async (promptId: string, until?: Date) => {
    const { orm } = database();
    const run = await mustClaim(database(), promptId);
    const scope = until ? "user_day" : "run";
    if (!until)
      await orm.insert(spend).values({ scope, subject: promptId, period: "1970-01-01", spent: SPENT * NANO });
    const at = new Date().toISOString();
    const failure = { attempt: run.attempt, at, kind: "limit", error: REASON } as const;
    const budget = { scope, limit_usd: LIMIT, spent_usd: SPENT, call_usd: 0.12 };
    await writerOf(orm, run).finish({
      ...COMPLETED,
      ...{ status: "Failed", error: REASON, errorKind: "limit", suspends: { failure, until, budget } },
    });
  };
  const waiting = async (until?: Date) => {
    const created = await create();
    await suspend(created.promptId, until);
    return created;
  };
  const audited = async (id: string) =>
    (
      await database()
        .orm.select()
        .from(auditPending)
        .where(eq(auditPending.target, `prompt:${id}`))
    ).filter(({ action }) => action === "prompt.resume");
  /** It is refused, and nothing has changed. */
  const refused = async (
    promptId: string,
    usd: unknown,
    wanted: { status: number; code: string; message: string },
    user?: string,
  ) => {
    const before = await promptRow(database(), promptId);
    const { status, body } = await resume(promptId, usd, user);
    expect([status, body.code]).toEqual([wanted.status, wanted.code]);
    expect(body.msg).toContain(wanted.message);
    expect(await promptRow(database(), promptId)).toEqual(before);
  };

  test("says why, what was spent of what, and that nobody knows when it goes on", async () => {
    const { sessionId, promptId } = await waiting();
    expect(await read(promptId)).toMatchObject({
      ...{ status: "Queued", waiting_for: "budget", waiting_reason: REASON, next_attempt_at: null },
      waiting_budget: { scope: "run", limit_usd: LIMIT, spent_usd: SPENT, call_usd: 0.12 },
    });
    expect(await session(sessionId)).toMatchObject({
      ...{ waitingFor: "budget", waitingReason: REASON, nextAttemptAt: null, unread: true },
    });
    expect((await send("GET", `/sessions/${sessionId}/prompts`)).body.prompts[0]).toEqual(
      await read(promptId),
    );

    await database().orm.delete(outbox).where(eq(outbox.key, promptId));
    expect((await resume(promptId, 5)).body).toEqual({ success: true, message: "Prompt resumed" });
    expect(await read(promptId)).toMatchObject({
      ...{ status: "Queued", budget_usd: 5, waiting_for: null, waiting_reason: null, waiting_budget: null },
    });
    expect(await session(sessionId)).toMatchObject({ uiStatus: "Pending", waitingFor: null });
    expect(await database().orm.$count(outbox, eq(outbox.key, promptId))).toBe(1);
    expect(await audited(promptId)).toMatchObject([
      { actor: "alice", detail: { session: sessionId, budget_usd: 5, spent_usd: SPENT } },
    ]);
    expect(await mustClaim(database(), promptId)).toMatchObject({ suspended: true, budget: 5 * NANO });
  });

  test("the budget of a day says when it begins anew", async () => {
    const { sessionId, promptId } = await waiting(TOMORROW);
    expect(await read(promptId)).toMatchObject({
      next_attempt_at: TOMORROW.toISOString(),
      waiting_budget: { scope: "user_day" },
    });
    expect(await session(sessionId)).toMatchObject({ nextAttemptAt: TOMORROW.toISOString() });
  });

  test("a budget that is not its own cannot be raised by it, which would only raise its own for later", async () => {
    const { promptId } = await waiting(TOMORROW);
    const message = `goes on by itself after ${TOMORROW.toISOString()}`;
    await refused(promptId, 100, { status: 409, code: "budget_not_awaited", message });
    expect((await send("POST", `/prompts/${promptId}/retry`)).status).toBe(200);
    expect(await mustClaim(database(), promptId)).toMatchObject({ suspended: true, budget: null });
  });

  test("cancelled at the moment at which it comes to wait: it waits for nothing", async () => {
    const { sessionId, promptId } = await create();
    const failure = { attempt: 1, at: new Date().toISOString(), kind: "limit", error: REASON } as const;
    const budget = { scope: "run", limit_usd: LIMIT, spent_usd: SPENT, call_usd: 0.12 } as const;
    const run = await mustClaim(database(), promptId);
    await send("POST", `/sessions/${sessionId}/cancel`);
    await writerOf(database().orm, run).finish({
      ...COMPLETED,
      ...{ status: "Failed", error: REASON, suspends: { failure, until: undefined, budget } },
    });
    // Cause: it was Cancelled and waited for its budget for ever, so that resuming it reopened its session and did nothing.
    expect(await read(promptId)).toMatchObject({ status: "Cancelled", waiting_for: null });
    const message = "The prompt is Cancelled";
    await refused(promptId, 5, { status: 409, code: "budget_not_awaited", message });
  });

  test("deleted while it waits: nothing of it is left, neither what it said nor what it has spent", async () => {
    const { sessionId, promptId } = await waiting();
    const { id: next } = (await send("POST", "/prompts", { session_id: sessionId, data: "Then this" })).body;
    expect((await send("DELETE", `/prompts/${promptId}`)).status).toBe(200);
    expect(await database().orm.$count(spend, eq(spend.subject, promptId))).toBe(0);
    const row = await sessionRow(database(), sessionId);
    expect(row).toMatchObject({ inboxStatus: "Pending", waiting: null });
    expect(row?.messages.map(({ role, prompt_id: id }) => [role, id])).toEqual([["user", next]]);
    expect((await mustClaim(database(), next)).promptId).toBe(next);
  });

  test("is resumed by its user alone, with more than it has cost", async () => {
    const { promptId } = await waiting();
    const missing = { status: 404, code: "prompt_not_found", message: "does not exist" };
    await refused(promptId, 5, missing, "bob");
    await refused(promptId, 5, missing, "admin");
    const tooLow = { status: 422, code: "budget_too_low", message: "more than the $1.93" };
    for (const usd of [SPENT, 0.01]) await refused(promptId, usd, tooLow);
    for (const usd of [0, -1, 1e9, "5", null])
      await refused(promptId, usd, { status: 422, code: "invalid", message: "budget_usd" });
    expect(await audited(promptId)).toEqual([]);
  });

  test("two at once: one has it, and the other is told so", async () => {
    const { promptId } = await waiting();
    const both = await Promise.all([resume(promptId, 3), resume(promptId, 4)]);
    expect(both.map(({ status }) => status).toSorted()).toEqual([200, 409]);
    const late = both.find(({ status }) => status === 409);
    expect(late?.body).toMatchObject({ code: "budget_not_awaited" });
    expect(await audited(promptId)).toHaveLength(1);
    expect((await read(promptId)).budget_usd).toBe(both[0]?.status === 200 ? 3 : 4);
  });

  test("cancelled while it waits: nothing is left to resume, and the next prompt may start", async () => {
    const { sessionId, promptId } = await waiting();
    expect((await send("POST", `/sessions/${sessionId}/cancel`)).status).toBe(200);
    expect(await read(promptId)).toMatchObject({ status: "Cancelled", waiting_for: null });
    const message = "The prompt is Cancelled and does not wait for its budget.";
    await refused(promptId, 5, { status: 409, code: "budget_not_awaited", message });
    expect(await session(sessionId)).toMatchObject({ inboxStatus: "Cancelled", waitingFor: null });
    const { id } = (await send("POST", "/prompts", { session_id: sessionId, data: "Go on" })).body;
    expect((await mustClaim(database(), id)).promptId).toBe(id);
  });

  test("a follow-up that is sent meanwhile waits behind it", async () => {
    const { sessionId, promptId } = await waiting();
    const { id } = (await send("POST", "/prompts", { session_id: sessionId, data: "Then this" })).body;
    expect(await session(sessionId)).toMatchObject({ inboxStatus: "Pending", waitingFor: "budget" });
    await refused(id, 5, { status: 409, code: "budget_not_awaited", message: "is Queued" });
    await send("DELETE", `/prompts/${id}`);
    expect(await session(sessionId)).toMatchObject({ inboxStatus: "Pending", waitingFor: "budget" });
    await resume(promptId, 5);
    const run = await mustClaim(database(), promptId);
    expect(run.promptId).toBe(promptId);
  });

  test("an archived session is reopened by it, as by a follow-up", async () => {
    const { sessionId, promptId } = await waiting();
    await send("PUT", `/sessions/${sessionId}`, { id: sessionId, ui_status: "Archived" });
    expect(await session(sessionId)).toMatchObject({ uiStatus: "Archived", waitingFor: "budget" });
    expect((await resume(promptId, 5)).status).toBe(200);
    expect(await session(sessionId)).toMatchObject({ uiStatus: "Pending", sessionStatus: "Active" });
  });

  test("of a deleted session it does not exist", async () => {
    const { sessionId, promptId } = await waiting();
    await send("DELETE", `/sessions/${sessionId}`);
    expect(await resume(promptId, 5)).toMatchObject({ status: 404, body: { code: "prompt_not_found" } });
  });

  test("an earlier prompt that is revived and ends: the session still says what the later one waits for", async () => {
    const { orm } = database();
    const { sessionId, promptId: earlier } = await create();
    const failed = { status: "Failed", error: "No net.", errorKind: "transient", dead: true } as const;
    await writerOf(orm, await mustClaim(database(), earlier)).finish({ ...COMPLETED, ...failed });
    const { id: later } = (await send("POST", "/prompts", { session_id: sessionId, data: "Next" })).body;
    await suspend(later);
    const { notBefore } = await promptRow(database(), later);
    await orm.transaction((tx) => revivePrompts(tx, [earlier]));
    const run = await mustClaim(database(), earlier);
    // Claims of this harness let all others start.
    await orm.update(prompt).set({ notBefore }).where(eq(prompt.id, later));
    await writerOf(orm, run).finish(COMPLETED);
    // Cause: it was said to be queued, without end.
    expect(await session(sessionId)).toMatchObject({
      ...{ inboxStatus: "Pending", waitingFor: "budget", waitingReason: REASON, nextAttemptAt: null },
    });
    expect(await read(later)).toMatchObject({ waiting_for: "budget", waiting_budget: null });
    expect((await resume(later, 5)).status).toBe(200);
    expect(await sessionRow(database(), sessionId)).toMatchObject({ waiting: null });
  });

  test("what nobody waits for is not resumed", async () => {
    const { promptId } = await create();
    await refused(promptId, 5, { status: 409, code: "budget_not_awaited", message: "is Queued" });
    await writerOf(database().orm, await mustClaim(database(), promptId)).finish(COMPLETED);
    await refused(promptId, 5, { status: 409, code: "budget_not_awaited", message: "is Completed" });
  });
});
