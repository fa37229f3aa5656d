import { expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { message, session } from "../../src/db/tables.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { until } from "../harness/until.ts";
import { agentEvents, agentIn, bearer, serveLive, tableOf } from "./fixture.ts";
import { openReader } from "./reader.ts";

const ALICE = bearer("alice");
const NOWHERE = "019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708";
describeEachDatabase("the live stream of a session", (database) => {
  const { running, rename } = agentIn(database);

  test("past messages in several pages, then new ones; event ids are the messages' seq", async () => {
    await using server = await serveLive(database());
    const { sessionId, append } = await running();
    await append(agentEvents(1, 700));
    const reader = await openReader(`${server.url}/sessions/${sessionId}/events`, {
      headers: { ...ALICE, origin: "https://ui.example.com" },
    });
    expect(reader.status).toBe(200);
    expect(Object.fromEntries(reader.headers)).toMatchObject({
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      "x-accel-buffering": "no",
      "x-content-type-options": "nosniff",
      "access-control-allow-origin": "https://ui.example.com",
      "x-request-id": expect.any(String),
    });
    const first = await reader.events().next();
    expect(first.value).toMatchObject({ data: "retry: 1000" });
    const log = [];
    for (let n = 0; n < 700; n += 1) log.push(await reader.next("message"));
    const shown = await reader.next("session");
    expect(shown.id).toBeUndefined();
    expect(JSON.parse(shown.data)).toMatchObject({ id: sessionId, uiStatus: "InProgress" });
    await append(agentEvents(701, 3));
    await append(agentEvents(704, 2));
    for (let n = 0; n < 5; n += 1) log.push(await reader.next("message"));
    expect(log.map(({ data }) => data)).toEqual(await tableOf(database(), sessionId));
    expect(log.map(({ id }) => id)).toEqual(log.map((_, index) => String(index + 1)));
    reader.leave();
    await until(() => server.hub.open === 0, { what: "the stream to be forgotten" });
  });

  test("messages of a prompt that has started over since are marked", async () => {
    await using server = await serveLive(database());
    const { sessionId, append, beginAnew } = await running();
    await append(["output"], { from: 0, to: 7 });
    await beginAnew("note");
    const reader = await openReader(`${server.url}/sessions/${sessionId}/events`, { headers: ALICE });
    const sent = [await reader.next("message"), await reader.next("message")];
    expect(sent.map(({ data }) => JSON.parse(data))).toMatchObject([
      { data: "output", attempt: 1, superseded: true },
      { data: "note", attempt: 2, superseded: false },
    ]);
    reader.leave();
  });

  test("a snapshot follows the messages that existed before it, and is only sent when it looks different", async () => {
    await using server = await serveLive(database());
    const { sessionId, append } = await running();
    const reader = await openReader(`${server.url}/sessions/${sessionId}/events`, { headers: ALICE });
    await reader.next("session");
    await append(agentEvents(1, 1));
    await append(agentEvents(2, 1));
    await rename(sessionId, "Renamed");
    const kinds = [];
    for await (const { event, data } of reader.events()) {
      kinds.push(event);
      if (event !== "session") continue;
      expect(JSON.parse(data).title).toBe("Renamed");
      break;
    }
    expect(kinds).toEqual(["message", "message", "session"]);
  });

  test("resumes after any message, at the end and beyond it; Last-Event-ID takes precedence over the query", async () => {
    await using server = await serveLive(database());
    const { sessionId, append } = await running();
    await append(agentEvents(1, 5));
    const url = `${server.url}/sessions/${sessionId}/events`;
    const firstId = async (path: string, headers = {}) => {
      const reader = await openReader(`${url}${path}`, { headers: { ...ALICE, ...headers } });
      const { id } = await reader.next("message");
      reader.leave();
      return id;
    };
    expect(await firstId("")).toBe("1");
    expect(await firstId("?after=0")).toBe("1");
    expect(await firstId("?after=3")).toBe("4");
    expect(await firstId("?after=1", { "last-event-id": "4" })).toBe("5");
    const later = [firstId("?after=5"), firstId("?after=7")];
    await until(() => server.hub.open === 2, { what: "both to wait" });
    await append(agentEvents(6, 2));
    expect(await later[0]).toBe("6");
    await append(agentEvents(8, 1));
    expect(await later[1]).toBe("8");
  });

  test("a deleted message is skipped, and later ones are sent", async () => {
    await using server = await serveLive(database());
    const { sessionId, append } = await running();
    await append(agentEvents(1, 3));
    await database().orm.delete(message).where(sql`session_id = ${sessionId} and seq = 3`);
    const reader = await openReader(`${server.url}/sessions/${sessionId}/events`, { headers: ALICE });
    await reader.next("message");
    await reader.next("message");
    await append(agentEvents(4, 1));
    expect((await reader.next("message")).id).toBe("4");
  });

  test("is refused without a token, for another user's or an unknown session, and for an invalid position", async () => {
    await using server = await serveLive(database());
    const { sessionId } = await running();
    const path = `/sessions/${sessionId}/events`;
    for (const [status, where, headers] of [
      [401, path, {}],
      [401, `${path}?token=alice`, {}],
      [404, path, bearer("bob")],
      [404, `/sessions/${NOWHERE}/events`, ALICE],
      [422, "/sessions/nonsense/events", ALICE],
      [422, `${path}?after=x`, ALICE],
      [422, `${path}?after=-1`, ALICE],
      [422, `${path}?after=1.5`, ALICE],
      [422, `${path}?after=`, ALICE],
      [422, `${path}?after=99999999999999999999`, ALICE],
      [422, path, { ...ALICE, "last-event-id": "x" }],
    ] as const) {
      const reply = await fetch(`${server.url}${where}`, { headers });
      expect({ where, status: reply.status }).toEqual({ where, status });
      expect(await reply.json()).toMatchObject({ code: expect.any(String), request_id: expect.any(String) });
    }
    expect(server.hub.open).toBe(0);
  });

  test("ends when the session is deleted", async () => {
    await using server = await serveLive(database());
    const { sessionId } = await running();
    const url = `${server.url}/sessions/${sessionId}/events`;
    const reader = await openReader(url, { headers: ALICE });
    await reader.next("session");
    await database().orm.update(session).set({ deletedAt: new Date() }).where(eq(session.id, sessionId));
    expect(JSON.parse((await reader.next("deleted")).data)).toEqual({ id: sessionId });
    expect((await reader.events().next()).done).toBe(true);
    expect((await fetch(url, { headers: ALICE })).status).toBe(404);
    expect(server.hub.open).toBe(0);
  });
});
