import { expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { auditPending } from "../../src/db/safety-tables.ts";
import { prompt } from "../../src/db/tables.ts";
import { permissionRequest, steer } from "../../src/db/talk-tables.ts";
import { closeCancelled } from "../../src/lifecycle/enforce-cancellations.ts";
import { expireQuestions } from "../../src/lifecycle/expire-questions.ts";
import type { ClaimedRun } from "../../src/lifecycle/start-run.ts";
import { CHANNELS } from "../../src/queue/names.ts";
import { claimNext } from "../../src/runs/claim.ts";
import { openRunWriter } from "../../src/runs/writer.ts";
import { clientOf, senderOf } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { COMPLETED, FAILURE, mustClaim, PROCESS, promptRow, sessionRow } from "../harness/seed.ts";
import { until } from "../harness/until.ts";

const question = (requestId: string, more = {}) => ({
  ...{ type: "system", subtype: "permission_request", uuid: requestId, request_id: requestId },
  ...{ tool: "Bash", input: { command: "make" }, title: "Build it" },
  ...more,
});

describeEachDatabase("what agents ask", (database) => {
  const { send, create } = clientOf(database);
  const sendAs = senderOf(database);
  const list = async (id: string, query = "", user?: string) =>
    send("GET", `/sessions/${id}/permissions${query}`, undefined, user);
  const answer = (id: string, body: object = { decision: "allow" }, user?: string) =>
    send("POST", `/permissions/${id}/answer`, body, user);
  const writerOf = (run: ClaimedRun) => {
    const { orm } = database();
    const { signal } = new AbortController();
    return openRunWriter({ orm, run, signal, limits: { permissionTimeoutMs: 3_600_000 } });
  };
  /** A run whose agent has asked. */
  const asking = async (...ids: string[]) => {
    const { sessionId, promptId } = await create();
    const run = await mustClaim(database(), promptId);
    const writer = writerOf(run);
    await writer.recordProcess({ ...PROCESS, steers: true });
    const events = ids.map((id) => question(id));
    await writer.append(events, { from: 0, to: 10 });
    const { permissions } = (await list(sessionId)).body;
    return { sessionId, promptId, run, writer, events, permissions };
  };
  const statuses = async (sessionId: string) =>
    (await list(sessionId)).body.permissions.map((one: { status: string }) => one.status);

  test("are listed, answered once, and their prompt waits meanwhile", async () => {
    const [first, second] = [crypto.randomUUID(), crypto.randomUUID()];
    const { sessionId, promptId, permissions } = await asking(first, second);
    expect(permissions).toMatchObject([
      { prompt_id: promptId, session_id: sessionId, tool: "Bash", title: "Build it", status: "pending" },
      { input: { command: "make" }, decision: null, answered_at: null, answered_by: null, reason: null },
    ]);
    const read = async () => (await send("GET", `/prompts/${promptId}`)).body.prompt;
    const inSession = async () => (await send("GET", `/sessions/${sessionId}`)).body.session;
    expect(await read()).toMatchObject({ status: "Running", waiting_for: "permission" });
    expect((await read()).waiting_reason).toContain("asks whether");
    expect((await read()).waiting_since).toBe(permissions[0].asked_at);
    expect(await inSession()).toMatchObject({ waitingFor: "permission", uiStatus: "InProgress" });
    const etag = (await list(sessionId)).headers.get("etag") ?? "";
    const again = await sendAs("alice", "GET", `/sessions/${sessionId}/permissions`, undefined, {
      "if-none-match": etag,
    });
    expect(again.status).toBe(304);

    expect((await answer(permissions[0].id, { decision: "allow_run" })).status).toBe(200);
    expect(await inSession()).toMatchObject({ waitingFor: "permission" });
    expect((await answer(permissions[1].id, { decision: "deny", reason: "No." })).status).toBe(200);
    expect(await read()).toMatchObject({ status: "Running", waiting_for: null });
    expect(await inSession()).toMatchObject({ waitingFor: null });
    const after = (await list(sessionId)).body.permissions;
    expect(after).toMatchObject([
      { status: "allowed", decision: "allow_run", answered_by: "alice" },
      { status: "denied", decision: "deny", reason: "No." },
    ]);
    expect((await list(sessionId, "?status=allowed")).body.permissions).toHaveLength(1);
    const page = (await list(sessionId, "?limit=1")).body;
    expect(page.permissions).toEqual([after[0]]);
    expect((await list(sessionId, `?limit=1&cursor=${page.next_cursor}`)).body.permissions).toEqual([
      after[1],
    ]);
    expect((await answer(permissions[0].id)).body).toMatchObject({ code: "permission_closed" });
    const audited = await database()
      .orm.select()
      .from(auditPending)
      .where(eq(auditPending.target, `permission:${permissions[1].id}`));
    expect(audited).toMatchObject([{ actor: "alice", action: "permission.answer" }]);
  });

  test("of two answers at once one counts", async () => {
    const { permissions, sessionId } = await asking(crypto.randomUUID());
    const { id } = permissions[0];
    const replies = await Promise.all([answer(id), answer(id, { decision: "deny" })]);
    expect(replies.map(({ status }) => status).sort()).toEqual([200, 409]);
    expect(await statuses(sessionId)).toEqual([replies[0]?.status === 200 ? "allowed" : "denied"]);
  });

  test("do not exist for others", async () => {
    const { sessionId, permissions } = await asking(crypto.randomUUID());
    expect((await list(sessionId, "", "mallory")).status).toBe(404);
    expect((await answer(permissions[0].id, { decision: "allow" }, "mallory")).status).toBe(404);
    expect((await answer(crypto.randomUUID())).body).toMatchObject({ code: "permission_not_found" });
    expect(await statuses(sessionId)).toEqual(["pending"]);
  });

  test("are an event and a row, however often they are stored, and neither under a lease that was lost", async () => {
    const id = crypto.randomUUID();
    const { sessionId, promptId, writer, events, run } = await asking(id);
    const messages = async () => (await send("GET", `/prompts/${promptId}/messages`)).body.messages.length;
    const before = await messages();
    await writer.append(events, { from: 0, to: 10 });
    await writer.append([question(id), question("not-an-id")], { from: 10, to: 20 });
    expect([await messages(), await statuses(sessionId)]).toEqual([before, ["pending"]]);
    await database()
      .orm.update(prompt)
      .set({ leaseEpoch: run.epoch + 1 })
      .where(eq(prompt.id, promptId));
    await expect(writer.append([question(crypto.randomUUID())], { from: 20, to: 30 })).rejects.toThrow();
    expect([await messages(), await statuses(sessionId)]).toEqual([before, ["pending"]]);
  });

  test("free a place under the limits while they wait", async () => {
    const claimant = { owner: "w", host: "h", ttlMs: 60_000, maxRunning: 1, maxRunningPerUser: 1 };
    const { orm } = database();
    await orm.update(prompt).set({ status: "Cancelled", leaseOwner: null, leaseExpiresAt: null });
    const { permissions } = await asking(crypto.randomUUID());
    const next = await create();
    expect(await claimNext(orm, { ...claimant, alone: false })).toMatchObject({ promptId: next.promptId });
    const third = await create();
    await answer(permissions[0].id);
    expect(await claimNext(orm, { ...claimant, alone: false })).toBeUndefined();
    await orm.update(prompt).set({ status: "Cancelled" }).where(eq(prompt.id, third.promptId));
  });

  test("expire by the database's clock, and end with their run", async () => {
    const { orm } = database();
    const { sessionId, promptId, permissions, writer } = await asking(crypto.randomUUID());
    const late = { expiresAt: sql`now() - interval '1 second'` };
    await orm.update(permissionRequest).set(late).where(eq(permissionRequest.promptId, promptId));
    expect((await answer(permissions[0].id)).status).toBe(409);
    const told: string[] = [];
    const unlisten = await database().listen(CHANNELS.mail, (id) => void told.push(id));
    expect(await expireQuestions(orm, 60)).toBe(1);
    await until(async () => told.includes(promptId), { what: "the runner to be told", timeoutMs: 5_000 });
    await unlisten();
    expect((await list(sessionId)).body.permissions).toMatchObject([
      { status: "expired", decision: "deny", answered_by: null },
    ]);
    expect(await promptRow(database(), promptId)).toMatchObject({ waitingFor: null });
    await writer.append([question(crypto.randomUUID())], { from: 10, to: 20 });
    await writer.finish(COMPLETED);
    expect(await statuses(sessionId)).toEqual(["expired", "cancelled"]);
    expect(await sessionRow(database(), sessionId)).toMatchObject({ waiting: null });
    expect((await answer((await list(sessionId)).body.permissions[1].id)).status).toBe(409);
  });

  test("are closed with a cancelled session, also where no runner is left", async () => {
    const { orm } = database();
    const { sessionId, promptId, permissions, writer } = await asking(crypto.randomUUID());
    await send("POST", `/sessions/${sessionId}/cancel`);
    expect(await statuses(sessionId)).toEqual(["cancelled"]);
    expect((await answer(permissions[0].id)).status).toBe(409);
    // It asks again before it ends.
    await writer.append([question(crypto.randomUUID())], { from: 10, to: 20 });
    expect(await promptRow(database(), promptId)).toMatchObject({ status: "Running", waitingFor: null });
    await closeCancelled(orm, -1_000);
    await expireQuestions(orm, 60);
    expect(await statuses(sessionId)).toEqual(["cancelled", "cancelled"]);
    expect(await sessionRow(database(), sessionId)).toMatchObject({ waiting: null });
  });

  /** Cause: who answered what an agent had left behind was told that it was allowed, and nobody was there to hear it. */
  test("are closed when their run waits without its agent", async () => {
    const { sessionId, permissions, writer } = await asking(crypto.randomUUID());
    const since = new Date().toISOString();
    const wait = { waitingFor: "model", delayMs: 3_600_000, failure: { ...FAILURE, at: since } } as const;
    await writer.park({ ...wait, outage: { cause: "model", since, tries: 1 } }, 60_000);
    expect(await statuses(sessionId)).toEqual(["cancelled"]);
    expect((await answer(permissions[0].id)).status).toBe(409);
    expect((await send("GET", `/sessions/${sessionId}`)).body.session).toMatchObject({ waitingFor: "model" });
  });

  /** Cause: the agent that had taken it was gone with its attempt, and the next one never heard of it. */
  test("a message that was taken in an attempt which begins anew is said again", async () => {
    const { orm } = database();
    const { sessionId, promptId, writer } = await asking(crypto.randomUUID());
    const { body } = await send("POST", `/prompts/${promptId}/steer`, { text: "Also the tests" });
    const takes = (at: number) =>
      writer.append([{ type: "user", uuid: crypto.randomUUID(), steer_id: body.steer_id }], {
        ...{ from: at, to: at + 10 },
      });
    const rows = () => orm.select().from(steer).where(eq(steer.promptId, promptId));
    const turns = async () =>
      (await send("GET", `/sessions/${sessionId}`)).body.session.messages.map(
        (one: { content: string }) => one.content,
      );
    const first = await turns();
    for (const attempt of [1, 2]) {
      await takes(attempt === 1 ? 10 : 0);
      expect(await rows()).toMatchObject([{ status: "delivered" }]);
      expect(await turns()).toEqual([...first, "Also the tests"]);
      await writer.beginAnew({ type: "assistant", uuid: crypto.randomUUID(), message: { attempt } });
      expect(await rows()).toMatchObject([{ status: "pending", writtenAt: null, deliveredAt: null }]);
      expect(await turns()).toEqual(first);
      await writer.recordProcess({ ...PROCESS, steers: true });
    }
  });

  test("a message goes to the agent that works, once for each key; to others as a prompt", async () => {
    const { promptId, writer } = await asking(crypto.randomUUID());
    const say = (text: string, key?: string, user = "alice") =>
      sendAs(user, "POST", `/prompts/${promptId}/steer`, { text }, key ? { "idempotency-key": key } : {});
    const first = await say("Also the tests", "k1");
    expect(first.body).toMatchObject({ success: true, delivered: "running", prompt_id: promptId });
    expect((await say("Also the tests", "k1")).body).toEqual(first.body);
    expect((await say("x", undefined, "mallory")).status).toBe(404);
    expect((await say("   ")).status).toBe(422);
    for (let n = 1; n < 20; n += 1) expect((await say(`${n}`)).status).toBe(200);
    expect((await say("one more")).body).toMatchObject({ code: "steer_limit_reached" });
    const large = (await say("x".repeat(300_000))).body;
    expect(large.delivered).toBe("queued");
    expect((await send("GET", `/prompts/${large.prompt_id}`)).body.prompt).toMatchObject({
      status: "Queued",
    });
    await writer.finish(COMPLETED);
    expect((await say("after")).body.delivered).toBe("queued");
  });

  test("what was said to an agent is listed: what it has not taken, and what became of the rest", async () => {
    const { promptId, sessionId, writer } = await asking(crypto.randomUUID());
    const say = async (text: string) => (await send("POST", `/prompts/${promptId}/steer`, { text })).body;
    const steers = (query = "", user?: string) =>
      send("GET", `/prompts/${promptId}/steers${query}`, undefined, user);
    expect((await steers()).body).toEqual({ steers: [] });
    const [first, second] = [await say("One"), await say("Two")];
    const pending = {
      ...{ id: first.steer_id, prompt_id: promptId, session_id: sessionId, text: "One", status: "pending" },
      ...{ created_by: "alice", created_at: expect.any(String), delivered_at: null, queued_prompt_id: null },
    };
    const two = { ...pending, id: second.steer_id, text: "Two" };
    expect((await steers("?status=pending")).body.steers).toEqual([pending, two]);
    const page = (await steers("?limit=1")).body;
    expect(page.steers).toEqual([pending]);
    expect((await steers(`?limit=1&cursor=${page.next_cursor}`)).body).toEqual({
      steers: [two],
      next_cursor: null,
    });
    const event = { type: "user", steer_id: first.steer_id, message: { role: "user", content: [] } };
    await writer.append([event], { from: 10, to: 20 });
    expect((await steers("?status=pending")).body.steers).toEqual([two]);
    await writer.finish(COMPLETED);
    const [, next] = (await send("GET", `/sessions/${sessionId}/prompts`)).body.prompts;
    expect((await steers()).body.steers).toEqual([
      { ...pending, status: "delivered", delivered_at: expect.any(String) },
      { ...two, status: "queued", queued_prompt_id: next.id },
    ]);
    // What became the next prompt was said to the one before.
    expect((await send("GET", `/prompts/${next.id}/steers`)).body).toEqual({ steers: [] });
    expect((await steers("?status=taken")).status).toBe(422);
    expect(await steers("", "mallory")).toMatchObject({ status: 404, body: { code: "prompt_not_found" } });
  });
});
