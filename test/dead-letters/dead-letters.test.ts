import { describe, expect, test } from "bun:test";
import { and, eq } from "drizzle-orm";
import { outbox } from "../../src/db/service-tables.ts";
import { deadLetter, prompt, session } from "../../src/db/tables.ts";
import { redact } from "../../src/dead-letters/redact.ts";
import { countFailedReturn } from "../../src/sandboxes/store.ts";
import { ask, makeApp } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { claimRun, writerOf } from "../harness/seed.ts";

const NOWHERE = "019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708";
const SANDBOX = { provider: "local", id: NOWHERE, host: "here" } as const;
const PATH = "/dead-letter-queue";

describeEachDatabase("dead letters", (database) => {
  const send = (method: string, path: string, user: string, body?: unknown) =>
    ask(makeApp({ database: database() }), user, method, path, body);
  /** A session whose prompt was given up, as a runner does it. */
  const dead = async (user: string) => {
    const { sessionId, promptId } = (
      await send("POST", "/sessions/with-prompt", user, {
        repo: "owner/name",
        target_branch: "main",
        messages: "go",
      })
    ).body;
    await bury(promptId);
    return { sessionId, promptId, id: await entryOf(promptId) } as Record<
      "sessionId" | "promptId" | "id",
      string
    >;
  };
  const bury = async (promptId: string) => {
    const run = await claimRun(database().orm, promptId);
    if (!run) throw new Error("not claimed");
    const end = { error: "It broke.", usage: {}, content: "It broke.", dead: true } as const;
    await writerOf(database().orm, run).finish({ ...end, status: "Failed", errorKind: "poison" });
  };
  const entryOf = async (entityId: string) => {
    const rows = await database()
      .orm.select({ id: deadLetter.id })
      .from(deadLetter)
      .where(and(eq(deadLetter.entityId, entityId), eq(deadLetter.status, "Pending")));
    return rows[0]?.id ?? "";
  };
  const listed = async (user: string, query = "") =>
    (await send("GET", `${PATH}${query}`, user)).body.entries.map(({ id }: { id: string }) => id);
  const promptRow = async (id: string) =>
    (await database().orm.select().from(prompt).where(eq(prompt.id, id)))[0];
  const sessionRow = async (id: string) =>
    (await database().orm.select().from(session).where(eq(session.id, id)))[0];

  test("are listed all, newest first, however many there are", async () => {
    const at = (n: number) => new Date(Date.UTC(2026, 0, 1) + Math.floor(n / 3));
    const rows = Array.from({ length: 1_001 }, (_, n) => ({
      ...{
        id: Bun.randomUUIDv7(),
        taskType: "prompt-run",
        entityId: NOWHERE,
        userId: "many",
        lastError: "x",
      },
      ...{ createdAt: at(n), status: n % 2 ? ("Resolved" as const) : ("Pending" as const) },
    }));
    await database().orm.insert(deadLetter).values(rows);
    const order = (some: typeof rows) =>
      some
        .toSorted((a, b) => b.createdAt.getTime() - a.createdAt.getTime() || (a.id < b.id ? 1 : -1))
        .map(({ id }) => id);
    const listed = async (query: string) =>
      (await send("GET", `${PATH}${query}`, "many")).body.entries.map(({ id }: { id: string }) => id);
    expect(await listed("")).toEqual(order(rows));
    expect(await listed("?status=Resolved")).toEqual(order(rows.filter((one) => one.status === "Resolved")));
  });

  test("users see their own dead letters and admins all; nobody can change another user's", async () => {
    const mine = await dead("ann");
    const others = await dead("ben");
    expect(await listed("ann")).toEqual([mine.id]);
    expect(await listed("admin")).toEqual(expect.arrayContaining([mine.id, others.id]));
    const { body } = await send("GET", `${PATH}/${mine.id}`, "ann");
    expect(body).toEqual({
      id: mine.id,
      task_type: "prompt-run",
      entity_id: mine.promptId,
      entity_data: expect.objectContaining({ session_id: mine.sessionId, repo: "owner/name" }),
      kind: "poison",
      retry_count: 1,
      last_error: "It broke.",
      last_error_at: expect.stringMatching(/Z$/),
      first_failed_at: expect.stringMatching(/Z$/),
      status: "Pending",
      resolution_notes: null,
      resolved_by: null,
      resolved_at: null,
      created_at: expect.stringMatching(/Z$/),
      updated_at: expect.stringMatching(/Z$/),
    });
    for (const [method, path] of [
      ["GET", ""],
      ["POST", "/resolve"],
      ["POST", "/abandon"],
      ["POST", "/retry"],
    ] as const)
      expect([path, (await send(method, `${PATH}/${others.id}${path}`, "ann")).status]).toEqual([path, 404]);
    const all = await send("POST", `${PATH}/retry`, "ann", { ids: [others.id] });
    expect(all.body).toMatchObject({ success: true, retried: [], skipped: [], more: false });
    expect((await send("GET", `${PATH}/${others.id}`, "admin")).body.status).toBe("Pending");
  });

  test("resolving and abandoning record who, when and why, once", async () => {
    const one = await dead("cleo");
    const two = await dead("cleo");
    const notes = { resolution_notes: "Fixed upstream" };
    expect((await send("POST", `${PATH}/${one.id}/resolve`, "admin", notes)).body).toEqual({
      success: true,
      message: "Dead letter resolved",
    });
    expect((await send("POST", `${PATH}/${two.id}/abandon`, "cleo")).body.success).toBe(true);
    expect((await send("GET", `${PATH}/${one.id}`, "cleo")).body).toMatchObject({
      status: "Resolved",
      ...notes,
      resolved_by: "admin",
      resolved_at: expect.any(String),
    });
    expect((await send("GET", `${PATH}/${two.id}`, "cleo")).body).toMatchObject({
      status: "Abandoned",
      resolution_notes: null,
      resolved_by: "cleo",
    });
    for (const path of ["resolve", "abandon", "retry"])
      expect((await send("POST", `${PATH}/${one.id}/${path}`, "cleo", {})).status).toBe(409);
    expect(await listed("cleo", "?status=pending")).toEqual([]);
    expect(await listed("cleo", "?status=resolved")).toEqual([one.id]);
    expect(await listed("cleo", "?status=Abandoned")).toEqual([two.id]);
    expect((await send("GET", `${PATH}?status=odd`, "cleo")).status).toBe(422);
    expect((await send("POST", `${PATH}/${two.id}/resolve`, "cleo", { resolution_notes: 7 })).status).toBe(
      422,
    );
    expect((await send("POST", `${PATH}/${NOWHERE}/resolve`, "cleo")).status).toBe(404);
  });

  test("a retried prompt is queued again at its position, with all its attempts, and its session is active", async () => {
    const { id, promptId, sessionId } = await dead("dora");
    expect(await sessionRow(sessionId)).toMatchObject({ sessionStatus: "Failed", inboxStatus: "Failed" });
    const { body } = await send("POST", "/prompts", "dora", { session_id: sessionId, data: "later" });
    await database().orm.delete(outbox);
    const reply = await send("POST", `${PATH}/${id}/retry`, "dora", { resolution_notes: "again" });
    expect(reply.body.success).toBe(true);
    expect(await promptRow(promptId)).toMatchObject({
      status: "Queued",
      seq: 1,
      attempt: 0,
      error: null,
      errorKind: null,
      failures: [],
      finishedAt: null,
    });
    expect(await sessionRow(sessionId)).toMatchObject({ sessionStatus: "Active", inboxStatus: "Pending" });
    expect(await database().orm.$count(outbox, eq(outbox.key, promptId))).toBe(1);
    expect((await send("GET", `${PATH}/${id}`, "dora")).body).toMatchObject({
      status: "Resolved",
      resolution_notes: "again",
      resolved_by: "dora",
      resolved_at: expect.any(String),
    });
    expect(await claimRun(database().orm, body.id)).toBeUndefined();
    expect(await claimRun(database().orm, promptId)).toMatchObject({ attempt: 1, claims: 1 });
  });

  test("a retried prompt waits for a later one that is running", async () => {
    const { id, promptId, sessionId } = await dead("eve");
    const { body } = await send("POST", "/prompts", "eve", { session_id: sessionId, data: "later" });
    const run = await claimRun(database().orm, body.id);
    if (!run) throw new Error("not claimed");
    expect((await send("POST", `${PATH}/${id}/retry`, "eve")).status).toBe(200);
    expect(await sessionRow(sessionId)).toMatchObject({ inboxStatus: "Processing" });
    expect(await claimRun(database().orm, promptId)).toBeUndefined();
    const end = { status: "Completed", error: null, errorKind: null, usage: {}, content: "" } as const;
    await writerOf(database().orm, run).finish(end);
    expect(await claimRun(database().orm, promptId)).toMatchObject({ attempt: 1, claims: 1 });
  });

  test("a prompt that was deleted or is no longer failed cannot be retried", async () => {
    const gone = await dead("finn");
    await send("DELETE", `/sessions/${gone.sessionId}`, "finn");
    expect((await send("POST", `${PATH}/${gone.id}/retry`, "finn")).status).toBe(409);
    expect((await send("GET", `${PATH}/${gone.id}`, "finn")).body.status).toBe("Pending");
    const { body } = await send("POST", `${PATH}/retry`, "finn", {});
    expect(body).toMatchObject({ retried: [], skipped: [gone.id] });
    expect(await promptRow(gone.promptId)).toMatchObject({ status: "Failed" });
  });

  test("a filter retries exactly the matching entries at once", async () => {
    const one = await dead("gwen");
    const two = await dead("gwen");
    for (const filter of [
      { task_type: "other" },
      { kind: "agent" },
      { failed_before: "2020-01-01T00:00:00.000Z" },
    ])
      expect((await send("POST", `${PATH}/retry`, "gwen", filter)).body.retried).toEqual([]);
    const both = { task_type: "prompt-run", kind: "poison", failed_after: "2020-01-01T00:00:00.000Z" };
    const replies = await Promise.all([1, 2, 3].map(() => send("POST", `${PATH}/retry`, "gwen", both)));
    expect(replies.flatMap(({ body }) => body.retried).sort()).toEqual([one.id, two.id].sort());
    for (const { promptId } of [one, two])
      expect(await promptRow(promptId)).toMatchObject({ status: "Queued" });
    for (const bad of [{ kind: "odd" }, { ids: [] }, { ids: ["x"] }, { failed_before: "yesterday" }])
      expect((await send("POST", `${PATH}/retry`, "gwen", bad)).status).toBe(422);
  });

  test("the failed return of a sandbox is retried", async () => {
    const { sessionId } = await dead("hugo");
    await database().orm.update(session).set({ sbxConfig: SANDBOX }).where(eq(session.id, sessionId));
    while (
      !(await countFailedReturn(database().orm, sessionId, SANDBOX, { error: "away", retryMs: 60_000 }))
    );
    const id = await entryOf(sessionId);
    expect((await send("GET", `${PATH}/${id}`, "hugo")).body).toMatchObject({
      task_type: "sandbox-return",
      entity_data: { session_id: sessionId, sandbox: { provider: "local", id: NOWHERE } },
    });
    expect((await send("POST", `${PATH}/${id}/retry`, "hugo")).body.success).toBe(true);
    expect(await sessionRow(sessionId)).toMatchObject({ ipReturnRetryCount: 0, sessionStatus: "Failed" });
  });
});

describe("entity data", () => {
  test("shows the provider and id of a sandbox, and no secrets", () => {
    const secret = { borrow_token: "s", api_url: "http://s" };
    expect(
      redact({
        sbx_config: { provider: "allocator", id: "1", ...secret },
        sandbox: { provider: "local", id: "2", host: "s" },
        sandboxConfig: secret,
        mcp_json_string: "{s}",
        deep: [{ Authorization: "s", password: "s", kept: 1 }],
        failures: [{ attempt: 1, error: "It broke." }],
        nothing: null,
      }),
    ).toEqual({
      sbx_config: { provider: "allocator", id: "1" },
      sandbox: { provider: "local", id: "2" },
      sandboxConfig: null,
      mcp_json_string: "[redacted]",
      deep: [{ Authorization: "[redacted]", password: "[redacted]", kept: 1 }],
      failures: [{ attempt: 1, error: "It broke." }],
      nothing: null,
    });
  });
});
