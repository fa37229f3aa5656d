import { describe, expect, test } from "bun:test";
import { builtSdk } from "./built-sdk.ts";
import { type Asked, frame, json, refusal, type Step, scriptedServer, stream } from "./scripted-server.ts";

const sdk = await builtSdk();
const { PromptBackend } = sdk;

const ids = {
  sessionId: "019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708",
  promptId: "019ab3c4-5d6e-7f80-91a2-b3c4d5e6f709",
};
const params = { repo: "owner/name", target_branch: "main", prompt: "Fix it" };
const created = json({ success: true, message: "Done", ...ids });
const session = (inboxStatus: string, uiStatus = "InProgress") =>
  frame("session", { id: ids.sessionId, inboxStatus, uiStatus });
const message = (seq: number) => frame("message", { seq }, seq);
const review = session("Completed", "NeedsReview");

/** A server that answers by what is asked for; each path has a script of its own. */
async function service(script: Partial<Record<"create" | "events" | "prompt" | "session", Step[]>>) {
  const steps = {
    create: [created],
    events: [stream(session("Pending") + message(1) + session("Processing") + message(2) + review)],
    prompt: [json({ prompt: { id: ids.promptId, status: "Completed" } })],
    session: [json({ session: { id: ids.sessionId, messages: [{ role: "assistant" }] } })],
    ...script,
  };
  const kindOf = ({ path }: Asked) =>
    path === "/sessions/with-prompt"
      ? "create"
      : path.endsWith("/events")
        ? "events"
        : path.startsWith("/prompts/")
          ? "prompt"
          : "session";
  const server = await scriptedServer((asked) => {
    const of = steps[kindOf(asked)];
    return (of.length > 1 ? of.shift() : of[0])?.(asked);
  });
  const pb = new PromptBackend({ baseUrl: server.url, backoff: { first: 1, longest: 2 } });
  const asked = (kind: keyof typeof steps) => server.asked.filter((one) => kindOf(one) === kind);
  return { server, pb, asked };
}

describe("sessions.run", () => {
  test("resolves with the session when it wants review, and tells each event", async () => {
    const { server, pb, asked } = await service({});
    await using _ = server;
    const seen: string[] = [];
    const run = pb.sessions.run({ ...params, priority: 1 }, { onProgress: ({ event }) => seen.push(event) });
    expect(await run.created).toMatchObject(ids);
    expect(await run).toMatchObject({ id: ids.sessionId, messages: [{ role: "assistant" }] });
    expect(seen).toEqual(["session", "message", "session", "message", "session"]);
    expect(JSON.parse(asked("create")[0]?.body ?? "")).toEqual({
      repo: "owner/name",
      target_branch: "main",
      priority: 1,
      messages: [{ content: "Fix it" }],
    });
  });

  test("is iterated over, as often as one likes", async () => {
    const { server, pb } = await service({});
    await using _ = server;
    const run = pb.sessions.run(params);
    for (let time = 0; time < 2; time += 1) {
      const seen: string[] = [];
      for await (const { event } of run) seen.push(event);
      expect(seen).toEqual(["session", "message", "session", "message", "session"]);
    }
    for await (const _event of run) break;
    expect(await run).toMatchObject({ id: ids.sessionId });
  });

  test("survives a server that is killed at any time: one session, no message twice", async () => {
    const killed: Step = ({ socket }) => void socket.destroy();
    const { server, pb, asked } = await service({
      create: [killed, killed, created],
      events: [killed, stream(message(1)), killed, stream(message(2)), stream(review)],
      prompt: [killed, json({ prompt: { status: "Completed" } })],
      session: [refusal("503 Service Unavailable", "x"), json({ session: { id: ids.sessionId } })],
    });
    await using _ = server;
    const seen: (string | undefined)[] = [];
    const onProgress = ({ id }: { id?: string | undefined }) => {
      seen.push(id);
      if (id !== undefined) server.asked.at(-1)?.socket.destroy();
    };
    const run = pb.sessions.run(params, { onProgress });
    expect(await run).toMatchObject({ id: ids.sessionId });
    expect(seen).toEqual(["1", "2", undefined]);
    const keys = asked("create").map(({ headers }) => headers["idempotency-key"]);
    expect(keys).toEqual([keys[0], keys[0], keys[0]]);
    expect(asked("events").map(({ headers }) => headers["last-event-id"])).toEqual([
      ...[undefined, undefined, "1", "1"],
      "2",
    ]);
  });

  test.each([
    ["Failed", "failed", "The agent ended with exit code 1."],
    ["Cancelled", "cancelled", "It was cancelled."],
  ])("%s: rejects with the session, the prompt and the reason", async (status, outcome, reason) => {
    const prompt = { status, error: status === "Failed" ? reason : null };
    const { server, pb } = await service({
      events: [stream(session(status, "NeedsReview"))],
      prompt: [json({ prompt })],
    });
    await using _ = server;
    const error = await pb.sessions.run(params).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(sdk.RunFailedError);
    expect(error).toMatchObject({
      outcome,
      reason,
      sessionId: ids.sessionId,
      session: { id: ids.sessionId },
      prompt,
    });
    const iterate = async () => {
      for await (const _event of pb.sessions.run(params));
    };
    await expect(iterate()).rejects.toBeInstanceOf(sdk.RunFailedError);
  });

  test("rejects when the session is deleted", async () => {
    const { server, pb } = await service({
      events: [stream(message(1) + frame("deleted", { id: ids.sessionId }))],
    });
    await using _ = server;
    const error = await pb.sessions.run(params).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ name: "RunFailedError", outcome: "deleted", session: undefined });
  });

  test("waits on while the work of an archived session goes on", async () => {
    const { server, pb, asked } = await service({
      events: [stream(session("Processing", "Archived") + message(1) + session("Completed", "Archived"))],
    });
    await using _ = server;
    const seen: string[] = [];
    await pb.sessions.run(params, { onProgress: ({ event }) => seen.push(event) });
    expect(seen).toEqual(["session", "message", "session"]);
    expect(asked("prompt")).toHaveLength(1);
  });

  test("waits on when its prompt was retried", async () => {
    const { server, pb, asked } = await service({
      events: [stream(session("Failed")), stream(review)],
      prompt: [json({ prompt: { status: "Queued" } }), json({ prompt: { status: "Completed" } })],
    });
    await using _ = server;
    expect(await pb.sessions.run(params)).toMatchObject({ id: ids.sessionId });
    expect(asked("events")).toHaveLength(2);
  });

  test("an aborted signal ends the waiting, and not the work", async () => {
    const { server, pb } = await service({ events: [stream(session("Processing"))] });
    await using _ = server;
    const stop = new AbortController();
    const reason = new Error("enough");
    const run = pb.sessions.run(params, { signal: stop.signal, onProgress: () => stop.abort(reason) });
    expect(await run.catch((error: unknown) => error)).toBe(reason);
    expect(server.asked.map(({ method, path }) => `${method} ${path}`)).toEqual([
      "POST /sessions/with-prompt",
      `GET /sessions/${ids.sessionId}/events`,
    ]);
    await server.asked[1]?.closed;
  });

  test("rejects, once, when the session cannot be created, and when onProgress throws", async () => {
    const unhandled: unknown[] = [];
    const listener = (error: unknown) => unhandled.push(error);
    process.on("unhandledRejection", listener);
    const refused = await service({ create: [refusal("422 Unprocessable Entity", "invalid")] });
    await using _ = refused.server;
    await expect(refused.pb.sessions.run(params)).rejects.toBeInstanceOf(sdk.UnprocessableEntityError);
    // Whoever waits for the ids alone.
    const { created: ids } = refused.pb.sessions.run(params);
    await expect(ids).rejects.toBeInstanceOf(sdk.UnprocessableEntityError);
    const thrown = await service({});
    await using __ = thrown.server;
    const onProgress = () => {
      throw new Error("mine");
    };
    await expect(thrown.pb.sessions.run(params, { onProgress })).rejects.toThrow("mine");
    await new Promise((resolve) => setTimeout(resolve));
    process.off("unhandledRejection", listener);
    expect(unhandled).toEqual([]);
  });
});
