import { expect, test } from "bun:test";
import { connect } from "node:net";
import { createVerifier } from "../../src/auth/verify.ts";
import { makeKey, type SigningKey, startIssuer } from "../auth/issuer.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { until } from "../harness/until.ts";
import { agentEvents, agentIn, bearer, serveLive } from "./fixture.ts";
import { openReader } from "./reader.ts";

const ALICE = bearer("alice");

describeEachDatabase("an event stream", (database) => {
  const { running, rename } = agentIn(database);

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

  test("ends once the key of its token is withdrawn, also when nothing happens; others go on", async () => {
    const [first, second] = await Promise.all([makeKey("first", "ES256"), makeKey("second", "ES256")]);
    const issuer = await startIssuer(first, second);
    let now = Date.now();
    const verifier = createVerifier({ config: issuer.config, dataDir: "/nonexistent", now: () => now });
    await using server = await serveLive(database(), { heartbeatMs: 30 }, { verifier });
    const open = async (key: SigningKey) => {
      const headers = { authorization: `Bearer ${await issuer.token(key)}` };
      return openReader(`${server.url}/events`, { headers });
    };
    const [withdrawn, kept] = [await open(first), await open(second)];
    for (const reader of [withdrawn, kept]) await reader.next("ready");
    await issuer.publish(second);
    now += 60_000;
    expect(JSON.parse((await withdrawn.next("bye")).data)).toEqual({ reason: "token_expired" });
    for (let n = 0; n < 3; n += 1) expect((await kept.next("")).data).toBe(": heartbeat");
    issuer.stop();
  });

  test("ends at shutdown, which does not wait for readers, and new streams are refused", async () => {
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

  test("disconnects a reader that takes nothing, and buffers little for it", async () => {
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

  test("HEAD opens no stream", async () => {
    await using server = await serveLive(database());
    const { sessionId } = await running();
    for (const path of [`/sessions/${sessionId}/events`, "/events"]) {
      const reply = await fetch(`${server.url}${path}`, { method: "HEAD", headers: ALICE });
      expect([reply.status, await reply.text()]).toEqual([200, ""]);
    }
    expect(server.hub.open).toBe(0);
  });

  test("an idle stream sends heartbeats, and finds changes whose notification was lost", async () => {
    const deaf = { listen: async () => async () => undefined };
    await using server = await serveLive(database(), { database: deaf, heartbeatMs: 50 });
    const { sessionId, append } = await running();
    const reader = await openReader(`${server.url}/sessions/${sessionId}/events`, { headers: ALICE });
    await reader.next("session");
    expect((await reader.next("")).data).toBe(": heartbeat");
    expect(server.hub.behindMs).toBe(0);
    await append(agentEvents(1, 1));
    expect((await reader.next("message")).id).toBe("1");
    await rename(sessionId, "Found");
    expect(JSON.parse((await reader.next("session")).data).title).toBe("Found");
  });
});
