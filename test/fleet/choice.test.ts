import { beforeEach, expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { outbox, taskHeartbeat, workerAgent } from "../../src/db/service-tables.ts";
import { prompt, session } from "../../src/db/tables.ts";
import { beginAgentWaits, endAgentWaits } from "../../src/lifecycle/await-agents.ts";
import { addSync } from "../../src/prompts/create-store.ts";
import { clientOf } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { COMPLETED, FAILURE, promptRow, sessionRow, writerOf } from "../harness/seed.ts";
import { workers } from "./workers.ts";

const TARGET = { repo: "owner/name", target_branch: "main", messages: "Fix it" };
const BOTH = { modes: ["auto", "ask"] } as { modes: ("auto" | "ask")[] };

describeEachDatabase("agents that prompts name", (database) => {
  const { send } = clientOf(database);
  const { begin, end, claim } = workers(database);
  const start = (more = {}) => send("POST", "/sessions/with-prompt", { ...TARGET, ...more });
  const created = async (more = {}) => {
    const { status, body } = await start(more);
    expect(status).toBe(200);
    return body as { sessionId: string; promptId: string };
  };
  const follow = (sessionId: string, more = {}) =>
    send("POST", "/prompts", { session_id: sessionId, data: "go on", ...more });
  const followed = async (sessionId: string, more = {}) => {
    const { status, body } = await follow(sessionId, more);
    expect(status).toBe(200);
    return read(body.id);
  };
  const read = async (id: string) => (await send("GET", `/prompts/${id}`)).body.prompt;
  const finish = async (host: string, ...agents: string[]) => {
    const run = await claim(host, ...agents);
    if (!run) throw new Error("nothing could be claimed");
    await writerOf(database().orm, run).finish(COMPLETED);
    return run;
  };

  beforeEach(async () => {
    const { orm } = database();
    await orm.delete(session);
    await orm.delete(outbox);
    await orm.delete(workerAgent);
    await orm.delete(taskHeartbeat);
  });

  test("are listed as the live workers report them, the default first", async () => {
    await begin("A", {
      demo: { title: "Demo" },
      codex: { available: false, reason: "Install it.", models: ["a"] },
    });
    await begin("B", { demo: {}, codex: { models: ["b"], ...BOTH }, old: {} });
    await begin("C", { old: {} });
    await end("C");
    const list = async () => (await send("GET", "/agents")).body.agents;
    expect(await list()).toMatchObject([
      { name: "demo", default: true, available: true, reason: null, version: "1.0", memory: "none" },
      { name: "codex", default: false, available: true, reason: null, models: ["b"], modes: ["auto", "ask"] },
      { name: "old", default: false, available: true },
    ]);
    await begin("B", { demo: {}, codex: { models: ["b"], max_turns: false, ...BOTH } });
    expect(await list()).toMatchObject([{ max_turns: true }, { name: "codex", max_turns: false }, {}]);
    await end("B");
    expect(await list()).toMatchObject([
      { name: "demo", available: true },
      { name: "codex", available: false, reason: "Install it." },
      { name: "old", available: false, reason: expect.stringContaining("No worker") },
    ]);
  });

  test("those that name none are claimed by all workers, which record what works on them", async () => {
    const { promptId } = await created();
    expect(await claim("A", "demo")).toMatchObject({ promptId, agent: "demo", mode: "auto" });
    expect(await read(promptId)).toMatchObject({ agent: "demo", model: null, mode: "auto", max_turns: null });
  });

  test("two workers with different agents each claim their own, in the order of the user", async () => {
    await begin("A", { demo: {}, codex: {} });
    await begin("B", { demo: {}, gemini: {} });
    const codex = [await created({ agent: "codex" }), await created({ agent: "codex" })];
    const gemini = await created({ agent: "gemini", model: "pro", max_turns: 7 });
    expect(await claim("B", "demo", "gemini")).toMatchObject({
      ...{ promptId: gemini.promptId, agent: "gemini", model: "pro", maxTurns: 7 },
    });
    expect(await claim("B", "demo", "gemini")).toBeUndefined();
    for (const { promptId } of codex)
      expect(await claim("A", "demo", "codex")).toMatchObject({ promptId, agent: "codex" });
    expect(await claim("A", "demo", "codex")).toBeUndefined();
  });

  test("a due retry is for its agent's workers, too, and keeps all that was chosen", async () => {
    await begin("A", { codex: BOTH });
    const { promptId } = await created({ agent: "codex", mode: "ask", model: "m", max_turns: 3 });
    const run = await claim("A", "codex");
    if (!run) throw new Error("not claimed");
    await writerOf(database().orm, run).retry({ delayMs: 0, failure: FAILURE });
    await database().orm.update(prompt).set({ notBefore: sql`now() - interval '1 second'` });
    expect(await claim("B", "demo")).toBeUndefined();
    expect(await claim("A", "codex")).toMatchObject({
      ...{ promptId, agent: "codex", mode: "ask", model: "m", maxTurns: 3 },
    });
  });

  test("one that nobody has is refused, with those that there are; so are a model and a mode that it lacks", async () => {
    await begin("A", { demo: {}, codex: { models: ["a", "b"] } });
    const refused = async (more: object) => {
      const { status, body } = await start(more);
      return { status, code: body.code, message: body.msg };
    };
    const missing = await refused({ agent: "gemini" });
    expect(missing).toMatchObject({ status: 409, code: "agent_unavailable" });
    expect(JSON.stringify(missing)).toContain("demo, codex");
    const model = await refused({ agent: "codex", model: "c" });
    expect(model).toMatchObject({ status: 422, code: "model_unavailable" });
    expect(JSON.stringify(model)).toContain("a, b");
    expect(await refused({ mode: "ask" })).toMatchObject({ status: 422, code: "mode_unavailable" });
    for (const [more, message] of [
      [{ agent: "-x" }, /^agent: Expected string to match/],
      [{ model: "--help" }, /^model: Expected string to match/],
      [{ mode: "yolo" }, /^mode: must be auto or ask$/],
      [{ max_turns: 0 }, /^max_turns: must be an integer 1 to 1000$/],
      [{ max_turns: 1001 }, /^max_turns: /],
    ] as const)
      expect(await refused(more)).toMatchObject({ status: 422, message: expect.stringMatching(message) });
    expect(await database().orm.$count(session)).toBe(0);
    // Somebody would have it, and never had.
    await begin("B", { demo: {}, gemini: { available: false, reason: "Install gemini." } });
    expect(await refused({ agent: "gemini" })).toMatchObject({
      ...{ status: 409, message: expect.stringContaining("Install gemini.") },
    });
    // Nobody has it now, but somebody had.
    await begin("A", { demo: {}, codex: { models: ["a", "b"], available: false, reason: "Install codex." } });
    expect((await start({ agent: "codex", model: "b" })).status).toBe(200);
    await end("A");
    expect((await start({ agent: "codex", model: "b" })).status).toBe(200);
    await database().orm.update(workerAgent).set({ reportedAt: sql`now() - interval '25 hours'` });
    expect((await start({ agent: "codex" })).status).toBe(409);
  });

  test("a limit of turns is refused for an agent that cannot be held to it, named or not", async () => {
    await begin("A", { command: { max_turns: false }, codex: {} });
    for (const more of [{}, { agent: "command" }, { agent: "command", model: "m" }]) {
      const { status, body } = await start({ ...more, max_turns: 3 });
      expect([status, body.code]).toEqual([422, "max_turns_unavailable"]);
      expect(body.msg).toContain("command cannot be held to a number of turns");
      expect(body.msg).toContain("name one of codex");
    }
    expect(await database().orm.$count(session)).toBe(0);
    const { sessionId } = await created({ agent: "codex", max_turns: 3 });
    expect((await follow(sessionId, { agent: "command", max_turns: 3 })).status).toBe(422);
    expect(await followed(sessionId, { agent: "command" })).toMatchObject({ max_turns: null });
    expect((await follow(sessionId, { max_turns: 3 })).status).toBe(422);
  });

  /** Cause: a session was created, and its first prompt ran without the limit that had been asked for. */
  test("a limit of turns is refused for a session without a prompt, which would not keep it", async () => {
    const { messages, ...target } = TARGET;
    for (const more of [{}, { messages: [] }, { messages: null }]) {
      const { status, body } = await send("POST", "/sessions", { ...target, ...more, max_turns: 3 });
      expect([status, body.code, body.msg]).toEqual([
        422,
        "invalid",
        expect.stringMatching(/^max_turns: .*first prompt/),
      ]);
    }
    expect(await database().orm.$count(session)).toBe(0);
    expect((await send("POST", "/sessions", { ...TARGET, max_turns: 3 })).status).toBe(200);
  });

  test("without any worker everything is accepted, and a mode that the agent lacks is not run", async () => {
    const { promptId } = await created({ mode: "ask", model: "m" });
    expect(await claim("A", "demo")).toMatchObject({ promptId, agent: "demo", mode: "ask" });
  });

  test("one waits and says so while nobody has its agent, and goes on when somebody has it", async () => {
    const { orm } = database();
    await begin("A", { demo: {}, codex: {} });
    const { promptId, sessionId } = await created({ agent: "codex" });
    const other = await created();
    expect(await beginAgentWaits(orm)).toBe(0);
    await begin("A", { demo: {}, codex: { available: false, reason: "Install codex." } });
    expect(await beginAgentWaits(orm)).toBe(1);
    expect(await beginAgentWaits(orm)).toBe(0);
    expect(await read(promptId)).toMatchObject({
      ...{ status: "Queued", waiting_for: "agent", next_attempt_at: null, waiting_since: null },
      waiting_reason: expect.stringContaining("Install codex."),
    });
    const { session: shown } = (await send("GET", `/sessions/${sessionId}`)).body;
    expect(shown).toMatchObject({ waitingFor: "agent", uiStatus: "Pending", nextAttemptAt: null });
    // Others do not wait for it.
    expect(await claim("A", "demo")).toMatchObject({ promptId: other.promptId });
    expect(await endAgentWaits(orm)).toBe(0);
    await orm.delete(outbox);
    await begin("B", { demo: {}, codex: {} });
    expect(await endAgentWaits(orm)).toBe(1);
    expect(await orm.$count(outbox, eq(outbox.key, promptId))).toBe(1);
    expect(await read(promptId)).toMatchObject({ waiting_for: null, waiting_reason: null, error: null });
    expect((await sessionRow(database(), sessionId))?.waiting).toBeNull();
    expect(await claim("B", "demo", "codex")).toMatchObject({ promptId });
  });

  test("a follow-up goes on with what the newest prompt has", async () => {
    await begin("A", { demo: {}, codex: { ...BOTH }, gemini: {} });
    const { sessionId } = await created({ agent: "codex", model: "m", mode: "ask", max_turns: 3 });
    const chosen = { agent: "codex", model: "m", mode: "ask", max_turns: null };
    expect(await followed(sessionId)).toMatchObject(chosen);
    const shown = async () => (await send("GET", `/sessions/${sessionId}`)).body.session;
    expect(await shown()).toMatchObject({ agent: "codex", model: "m", mode: "ask" });
    await followed(sessionId, { model: "n" });
    expect(await followed(sessionId)).toMatchObject({ ...chosen, model: "n" });
    // Another agent: not this one's model; and never more than `ask` allows, unless that is said.
    expect(await follow(sessionId, { agent: "gemini" })).toMatchObject({ status: 422 });
    expect(await followed(sessionId, { agent: "gemini", mode: "auto" })).toMatchObject({
      ...{ agent: "gemini", model: null, mode: "auto" },
    });
    expect(await followed(sessionId, { agent: "codex" })).toMatchObject({ model: null, mode: "auto" });
    expect(await shown()).toMatchObject({ agent: "codex", model: null, mode: "auto" });
  });

  test("ask is kept over prompts without an agent, and when the newest prompt is deleted", async () => {
    await begin("A", { codex: BOTH });
    const { sessionId, promptId } = await created({ mode: "ask" });
    expect(await read(promptId)).toMatchObject({ agent: "codex", mode: "ask" });
    await database().orm.transaction((tx) =>
      addSync(tx, { userId: "alice", author: undefined, sessionId, strategy: "merge", maxUnfinished: 9 }),
    );
    const { id } = await followed(sessionId);
    expect(await read(id)).toMatchObject({ agent: "codex", mode: "ask" });
    for (const one of [id, promptId]) expect((await send("DELETE", `/prompts/${one}`)).status).toBe(200);
    expect(await followed(sessionId)).toMatchObject({ agent: "codex", mode: "ask" });
  });

  test("a default is gone on with while some worker has it as its default, and so are bare sessions", async () => {
    await begin("A", { demo: {} });
    await begin("B", { codex: {} });
    const { sessionId } = await created();
    await finish("B", "codex");
    expect(await followed(sessionId)).toMatchObject({ agent: "codex" });
    // The operator has chosen another one.
    await begin("B", { demo: {}, codex: { default: false } });
    expect(await followed(sessionId)).toMatchObject({ agent: null });
    const { id } = (
      await send("POST", "/sessions", { ...TARGET, messages: null, agent: "codex", model: "m" })
    ).body;
    expect(await followed(id)).toMatchObject({ agent: "codex", model: "m" });
  });

  test("a fork goes on with what the prompt had at whose end it begins", async () => {
    await begin("A", { demo: {}, codex: BOTH, gemini: {} });
    const { sessionId, promptId } = await created({ agent: "codex", model: "m", mode: "ask" });
    await finish("A", "demo", "codex");
    await database()
      .orm.update(prompt)
      .set({ commit: "0".repeat(40) })
      .where(eq(prompt.id, promptId));
    await followed(sessionId, { agent: "gemini", mode: "auto" });
    const { body } = await send("POST", `/sessions/${sessionId}/fork`, { prompt_id: promptId });
    expect(await followed(body.id)).toMatchObject({ agent: "codex", model: "m", mode: "ask" });
    expect(await promptRow(database(), promptId)).toMatchObject({ agent: "codex" });
  });

  test("a session begins with what its repository's project says, and goes on with its own", async () => {
    await begin("A", { demo: {}, codex: { models: ["a", "b"], ...BOTH } });
    await send("POST", "/projects", { repo: "owner/kept", agent: "codex", model: "a", mode: "ask" });
    const on = (repo: string, more = {}) => created({ repo, ...more });
    const { sessionId, promptId } = await on("https://github.com/owner/kept.git");
    expect(await read(promptId)).toMatchObject({ agent: "codex", model: "a", mode: "ask" });
    // Never widened: neither by another field, nor by a later change of the project.
    const asked = await on("owner/kept", { model: "b" });
    expect(await read(asked.promptId)).toMatchObject({ agent: "codex", model: "b", mode: "ask" });
    const { body } = await send("GET", "/projects");
    await send("PUT", `/projects/${body.projects[0].id}`, { model: "b", mode: "auto" });
    expect(await followed(sessionId)).toMatchObject({ agent: "codex", model: "a", mode: "ask" });
    expect(await followed(asked.sessionId)).toMatchObject({ agent: "codex", model: "b", mode: "ask" });
    const fresh = await on("owner/kept");
    expect(await read(fresh.promptId)).toMatchObject({ agent: "codex", model: "b", mode: "auto" });
    // Another agent has not the model of the project's.
    const other = await on("owner/kept", { agent: "demo" });
    expect(await read(other.promptId)).toMatchObject({ agent: "demo", model: null, mode: "auto" });
    expect(await read((await on("owner/else")).promptId)).toMatchObject({ model: null, mode: "auto" });
    const empty = await send("POST", "/sessions", { repo: "owner/kept", target_branch: "main" });
    expect(await followed(empty.body.id)).toMatchObject({ agent: "codex", model: "b", mode: "auto" });
  });

  test("a project's agent that nobody has is refused like one that a prompt names; so is a mode that it lacks", async () => {
    await begin("A", { demo: {} });
    await send("POST", "/projects", { repo: "owner/gone", agent: "codex", mode: "ask" });
    const gone = await start({ repo: "owner/gone" });
    expect([gone.status, gone.body.code]).toEqual([409, "agent_unavailable"]);
    const never = await start({ repo: "owner/gone", agent: "demo" });
    expect([never.status, never.body.code]).toEqual([422, "mode_unavailable"]);
    const said = await created({ repo: "owner/gone", agent: "demo", mode: "auto" });
    expect(await read(said.promptId)).toMatchObject({ agent: "demo", mode: "auto" });
  });
});
