import { expect, test } from "bun:test";
import { connect } from "node:net";
import { eq, sql } from "drizzle-orm";
import { message, session } from "../../src/db/tables.ts";
import { describeEachDatabase, seedSession, writerOf } from "../harness/databases.ts";
import { until } from "../harness/until.ts";
import { openReader } from "./reader.ts";
import { bearer, claim, serveLive, tableOf } from "./stage.ts";

const ALICE = bearer("alice");
const NOWHERE = "019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708";
const said = (from: number, count: number) =>
  Array.from({ length: count }, (_, n) => ({
    type: "assistant",
    text: `${from + n}: a\nline and a “quote”`,
  }));

describeEachDatabase("the live stream of a session", (database) => {
  const running = async () => {
    const { sessionId, promptIds } = await seedSession(database(), 1);
    const run = await claim(database(), promptIds[0] ?? "");
    return { sessionId, append: (events: unknown[]) => writerOf(database().orm, run).append(events) };
  };
  const rename = (id: string, title: string) =>
    database().orm.update(session).set({ title }).where(eq(session.id, id));

  test("what was, over several pages, then what comes; ids are the messages' numbers", async () => {
    await using server = await serveLive(database());
    const { sessionId, append } = await running();
    await append(said(1, 700));
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
    await append(said(701, 3));
    await append(said(704, 2));
    for (let n = 0; n < 5; n += 1) log.push(await reader.next("message"));
    expect(log.map(({ data }) => data)).toEqual(await tableOf(database(), sessionId));
    expect(log.map(({ id }) => id)).toEqual(log.map((_, index) => String(index + 1)));
    reader.leave();
    await until(() => server.hub.open === 0, { what: "the stream to be forgotten" });
  });

  test("a snapshot follows the messages that were there before it, and comes only when it looks different", async () => {
    await using server = await serveLive(database());
    const { sessionId, append } = await running();
    const reader = await openReader(`${server.url}/sessions/${sessionId}/events`, { headers: ALICE });
    await reader.next("session");
    await append(said(1, 1));
    await append(said(2, 1));
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

  test("resumes after any message, at the end and beyond it; the header overrules the address", async () => {
    await using server = await serveLive(database());
    const { sessionId, append } = await running();
    await append(said(1, 5));
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
    await append(said(6, 2));
    expect(await later[0]).toBe("6");
    await append(said(8, 1));
    expect(await later[1]).toBe("8");
  });

  test("a deleted message is passed over, and those after it come", async () => {
    await using server = await serveLive(database());
    const { sessionId, append } = await running();
    await append(said(1, 3));
    await database().orm.delete(message).where(sql`session_id = ${sessionId} and seq = 3`);
    const reader = await openReader(`${server.url}/sessions/${sessionId}/events`, { headers: ALICE });
    await reader.next("message");
    await reader.next("message");
    await append(said(4, 1));
    expect((await reader.next("message")).id).toBe("4");
  });

  test("refused before it begins: no token, somebody else's, unknown, not a number", async () => {
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

  test("ends when the token expires", async () => {
    await using server = await serveLive(database());
    const { sessionId } = await running();
    const startedAt = Date.now();
    const reader = await openReader(`${server.url}/sessions/${sessionId}/events`, {
      headers: bearer("alice", 400),
    });
    expect(JSON.parse((await reader.next("bye")).data)).toEqual({ reason: "token_expired" });
    expect((await reader.events().next()).done).toBe(true);
    expect(Date.now() - startedAt).toBeGreaterThanOrEqual(390);
    expect(server.hub.open).toBe(0);
  });

  test("says goodbye when the service ends, which does not wait for readers, and lets nobody in", async () => {
    await using server = await serveLive(database());
    const { sessionId } = await running();
    const url = `${server.url}/sessions/${sessionId}/events`;
    const readers = await Promise.all([1, 2, 3].map(() => openReader(url, { headers: ALICE })));
    for (const reader of readers) await reader.next("session");
    server.hub.endStreams();
    for (const reader of readers)
      expect(JSON.parse((await reader.next("bye")).data)).toEqual({ reason: "shutdown" });
    expect((await fetch(url, { headers: ALICE })).status).toBe(503);
    const startedAt = Date.now();
    await server.stop();
    expect(Date.now() - startedAt).toBeLessThan(2_000);
  });

  test("a user may have so many open; a reader who leaves makes room", async () => {
    await using server = await serveLive(database(), { perUser: 2 });
    const { sessionId } = await running();
    const url = `${server.url}/sessions/${sessionId}/events`;
    const [first] = await Promise.all([1, 2].map(() => openReader(url, { headers: ALICE })));
    const refused = await fetch(url, { headers: ALICE });
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "10"]);
    expect(((await refused.json()) as { msg: string }).msg).toContain("2 open streams");
    expect((await fetch(`${server.url}/events`, { headers: ALICE })).status).toBe(429);
    const other = await openReader(`${server.url}/events`, { headers: bearer("bob") });
    expect(other.status).toBe(200);
    first?.leave();
    await until(() => server.hub.open === 2, { what: "one to be gone" });
    const again = await openReader(url, { headers: ALICE });
    expect(again.status).toBe(200);
  });

  test("a reader that takes nothing is cut off, and what it held is little", async () => {
    await using server = await serveLive(database(), { readTimeoutMs: 300 });
    const { sessionId, append } = await running();
    // More than the kernel's buffers of a connection take.
    const text = "x".repeat(200_000);
    for (let n = 0; n < 10; n += 1) await append(Array.from({ length: 10 }, () => ({ text })));
    const { hostname, port } = new URL(server.url);
    const socket = connect({ host: hostname, port: Number(port) });
    socket.on("error", () => undefined);
    socket.write(
      `GET /sessions/${sessionId}/events HTTP/1.1\r\nhost: ${hostname}\r\nauthorization: ${ALICE.authorization}\r\n\r\n`,
    );
    socket.pause();
    await until(() => server.hub.open === 1, { what: "the slow reader's stream" });
    await until(() => server.hub.behindMs > 150, { what: "the metrics to show how far behind it is" });
    await until(() => server.hub.open === 0, { what: "the slow reader to be cut off" });
    let got = 0;
    const closed = Promise.withResolvers<void>();
    socket.on("data", (chunk) => {
      got += chunk.length;
    });
    socket.on("close", () => closed.resolve());
    socket.resume();
    await closed.promise;
    expect(got).toBeLessThan(15_000_000);
  });

  test("a request for the head alone leaves nothing behind", async () => {
    await using server = await serveLive(database());
    const { sessionId } = await running();
    for (const path of [`/sessions/${sessionId}/events`, "/events"]) {
      const reply = await fetch(`${server.url}${path}`, { method: "HEAD", headers: ALICE });
      expect([reply.status, await reply.text()]).toEqual([200, ""]);
    }
    expect(server.hub.open).toBe(0);
  });

  test("silence has heartbeats, and what no notification told of is found with them", async () => {
    const deaf = { listen: async () => async () => undefined };
    await using server = await serveLive(database(), { database: deaf, heartbeatMs: 50 });
    const { sessionId, append } = await running();
    const reader = await openReader(`${server.url}/sessions/${sessionId}/events`, { headers: ALICE });
    await reader.next("session");
    expect((await reader.next("")).data).toBe(": heartbeat");
    expect(server.hub.behindMs).toBe(0);
    await append(said(1, 1));
    expect((await reader.next("message")).id).toBe("1");
    await rename(sessionId, "Found");
    expect(JSON.parse((await reader.next("session")).data).title).toBe("Found");
  });

  test("a lost connection to the database, once it listens again, wakes every reader", async () => {
    if (database().kind === "embedded") return;
    await using server = await serveLive(database(), { heartbeatMs: 3_600_000 });
    const { sessionId, append } = await running();
    const [one, all] = await Promise.all(
      [`/sessions/${sessionId}/events`, "/events"].map((path) =>
        openReader(`${server.url}${path}`, { headers: ALICE }),
      ),
    );
    await one?.next("session");
    await all?.next("ready");
    const { orm } = database();
    // While it is away nothing is told: the trigger is off.
    await orm.execute(sql`alter table session disable trigger session_changed`);
    await append(said(1, 2));
    await orm.execute(sql`alter table session enable trigger session_changed`);
    await orm.execute(
      sql`select pg_terminate_backend(pid) from pg_stat_activity where query ilike 'listen%' and datname = current_database()`,
    );
    for (const reader of [one, all]) {
      expect(JSON.parse((await reader?.next("message"))?.data ?? "{}").seq).toBe(1);
      expect(JSON.parse((await reader?.next("message"))?.data ?? "{}").seq).toBe(2);
    }
  });
});
