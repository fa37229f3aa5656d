import { expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { auditPending } from "../../src/db/safety-tables.ts";
import { outbox } from "../../src/db/service-tables.ts";
import { prompt } from "../../src/db/tables.ts";
import { requestCancel } from "../../src/lifecycle/cancel.ts";
import { CHANNELS } from "../../src/queue/names.ts";
import { clientOf } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import {
  COMPLETED,
  claimRun,
  FAILURE,
  mustClaim,
  PROCESS,
  promptRow,
  seedRun,
  sessionRow,
  writerOf,
} from "../harness/seed.ts";
import { until } from "../harness/until.ts";

const HOUR_MS = 3_600_000;
const SINCE = new Date(Date.now() - HOUR_MS).toISOString();
const OUTAGE = { cause: "git_host", since: SINCE, tries: 7 } as const;
const WAIT = {
  waitingFor: "git_host",
  delayMs: HOUR_MS,
  failure: { ...FAILURE, at: new Date().toISOString() },
  outage: OUTAGE,
} as const;

describeEachDatabase("retrying a prompt that waits", (database) => {
  const { send, create } = clientOf(database);
  const retry = (id: string, user?: string) => send("POST", `/prompts/${id}/retry`, undefined, user);
  const read = async (id: string) => (await send("GET", `/prompts/${id}`)).body.prompt;
  /** Makes it wait for an hour, as a runner does whose git host is away. */
  const postpone = async (promptId: string) => {
    const run = await mustClaim(database(), promptId);
    await writerOf(database().orm, run).postpone(WAIT);
  };
  const waiting = async () => {
    const created = await create();
    await postpone(created.promptId);
    return created;
  };
  /** Its jobs that are due. */
  const dueJobs = (id: string) =>
    database().orm.$count(outbox, sql`${outbox.key} = ${id} and ${outbox.nextAttemptAt} <= now()`);
  const audited = async (id: string) =>
    (
      await database()
        .orm.select()
        .from(auditPending)
        .where(eq(auditPending.target, `prompt:${id}`))
    ).filter(({ action }) => action === "prompt.retry");

  test("ends its wait: it may start at once, its session says so, and who did it is recorded", async () => {
    const { sessionId, promptId } = await waiting();
    expect(await read(promptId)).toMatchObject({ waiting_for: "git_host", waiting_since: SINCE });
    expect((await send("GET", `/sessions/${sessionId}`)).body.session.waitingFor).toBe("git_host");
    await database().orm.delete(outbox).where(eq(outbox.key, promptId));
    expect((await retry(promptId)).body).toEqual({ success: true, message: "Wait ended" });
    expect(await read(promptId)).toMatchObject({
      ...{ status: "Queued", attempt: 0, error: FAILURE.error },
      ...{ waiting_for: null, waiting_reason: null, waiting_since: null, next_attempt_at: null },
    });
    expect((await send("GET", `/sessions/${sessionId}`)).body.session).toMatchObject({
      ...{ uiStatus: "Pending", waitingFor: null, waitingReason: null, nextAttemptAt: null },
    });
    expect(await dueJobs(promptId)).toBe(1);
    expect(await audited(promptId)).toMatchObject([
      { actor: "alice", detail: { session: sessionId, waiting_for: "git_host" } },
    ]);
    expect((await claimRun(database().orm, promptId))?.promptId).toBe(promptId);
  });

  test("the series of failures goes on: the end of RETRY_TRANSIENT_HOURS stays, and no attempt is used up", async () => {
    const { promptId } = await waiting();
    await retry(promptId);
    expect(await promptRow(database(), promptId)).toMatchObject({ outage: OUTAGE });
    const run = await mustClaim(database(), promptId);
    expect(run).toMatchObject({ outage: OUTAGE, attempt: 1 });
    await writerOf(database().orm, run).postpone({ ...WAIT, outage: { ...OUTAGE, tries: 8 } });
    expect(await read(promptId)).toMatchObject({ attempt: 0, waiting_since: SINCE });
  });

  test("wakes the publisher of every process once it has committed", async () => {
    const { promptId } = await waiting();
    let heard = 0;
    const unlisten = await database().listen(CHANNELS.outbox, () => {
      heard += 1;
    });
    await retry(promptId);
    await until(() => heard > 0, { what: "the notification" });
    await unlisten();
  });

  test("a second click changes nothing, whether the prompt has started or not", async () => {
    const { promptId } = await waiting();
    await database().orm.delete(outbox).where(eq(outbox.key, promptId));
    const both = await Promise.all([retry(promptId), retry(promptId)]);
    expect(both.map(({ status }) => status)).toEqual([200, 200]);
    expect(both.map(({ body }) => body.message).toSorted()).toEqual([
      "Its next attempt is due already",
      "Wait ended",
    ]);
    const again = { success: true, message: "Its next attempt is due already" };
    const { version } = await promptRow(database(), promptId);
    await mustClaim(database(), promptId);
    const running = await promptRow(database(), promptId);
    expect((await retry(promptId)).body).toEqual(again);
    expect(await promptRow(database(), promptId)).toEqual(running);
    expect(running.version).toBeGreaterThan(version);
    expect(await dueJobs(promptId)).toBe(1);
    expect(await audited(promptId)).toHaveLength(1);
  });

  test("is refused for a prompt that does not wait, with its state", async () => {
    const { orm } = database();
    const { sessionId, promptId } = await create();
    const refused = async (message: string) => {
      const before = await promptRow(database(), promptId);
      const { status, body } = await retry(promptId);
      expect([status, body.code]).toEqual([409, "nothing_to_retry"]);
      expect(body.msg).toContain(message);
      expect(await promptRow(database(), promptId)).toEqual(before);
    };
    await refused("The prompt is Queued: it waits for nothing but its turn.");
    const run = await mustClaim(database(), promptId);
    await refused("The prompt is Running: wait for its end");
    await writerOf(orm, run).finish(COMPLETED);
    await refused("The prompt is Completed: retry its dead letter, if it has become one");
    const failed = { status: "Failed", error: "No.", errorKind: "transient" } as const;
    await orm.update(prompt).set(failed).where(eq(prompt.id, promptId));
    await refused("The prompt is Failed");
    expect(await audited(promptId)).toEqual([]);
    expect((await sessionRow(database(), sessionId))?.inboxStatus).toBe("Completed");
  });

  test("is refused once it was cancelled, and 404 for another user's and in a deleted session", async () => {
    const { orm } = database();
    const { sessionId, promptId } = await waiting();
    for (const user of ["bob", "admin"]) {
      const { status, body } = await retry(promptId, user);
      expect([user, status, body.code]).toEqual([user, 404, "prompt_not_found"]);
    }
    expect(await read(promptId)).toMatchObject({ waiting_for: "git_host" });
    await orm.transaction((tx) => requestCancel(tx, { sessionId, by: "alice" }));
    expect((await retry(promptId)).status).toBe(409);
    const other = await waiting();
    await send("DELETE", `/sessions/${other.sessionId}`);
    expect((await retry(other.promptId)).status).toBe(404);
    expect((await retry("x")).status).toBe(422);
  });

  test("a prompt behind another one that waits keeps its place, and the session says what the first waits for", async () => {
    const { orm } = database();
    const { sessionId, promptId } = await create("First");
    const { id } = (await send("POST", "/prompts", { session_id: sessionId, data: "Second" })).body;
    const hold = { status: "Failed", finishedAt: sql`now()` } as const;
    await orm.update(prompt).set(hold).where(eq(prompt.id, promptId));
    await postpone(id);
    // As a dead letter that is retried.
    await orm.update(prompt).set({ status: "Queued", finishedAt: null }).where(eq(prompt.id, promptId));
    await postpone(promptId);
    expect((await retry(id)).status).toBe(200);
    expect(await read(id)).toMatchObject({ waiting_for: null });
    expect((await sessionRow(database(), sessionId))?.waiting).toMatchObject({ for: "git_host" });
    expect(await claimRun(orm, id)).toBeUndefined();
    expect((await retry(promptId)).status).toBe(200);
    expect((await sessionRow(database(), sessionId))?.waiting).toBeNull();
    expect((await claimRun(orm, promptId))?.promptId).toBe(promptId);
  });

  test("a run that waits with its sandbox goes on at once on its machine; others wait for that as long as ever", async () => {
    const { orm } = database();
    const run = await seedRun(database());
    const { promptId, sessionId } = run;
    const graceMs = 60_000;
    await writerOf(orm, run).park({ ...WAIT, waitingFor: "sandbox" }, graceMs);
    await orm.update(prompt).set({ process: PROCESS }).where(eq(prompt.id, promptId));
    expect(await claimRun(orm, promptId, { host: "here" })).toBeUndefined();
    expect((await retry(promptId)).body.message).toBe("Wait ended");
    expect((await sessionRow(database(), sessionId))?.waiting).toBeNull();
    const row = await promptRow(database(), promptId);
    expect(row).toMatchObject({ status: "Running", waitingFor: null, notBefore: null });
    const leftMs = (row.leaseExpiresAt?.getTime() ?? 0) - row.updatedAt.getTime();
    expect(Math.abs(leftMs - graceMs)).toBeLessThan(1_000);
    expect((await retry(promptId)).body.message).toBe("Its next attempt is due already");
    expect(await claimRun(orm, promptId, { host: "elsewhere" })).toBeUndefined();
    expect((await claimRun(orm, promptId, { host: "here" }))?.promptId).toBe(promptId);
  });
});
