import { expect, test } from "bun:test";
import type { ClaimedRun } from "../../src/lifecycle/start-run.ts";
import { openRunWriter } from "../../src/runs/writer.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { seedSession } from "../harness/seed.ts";
import { bearer, claim, serveLive } from "./fixture.ts";
import { openReader } from "./reader.ts";

const ALICE = bearer("alice");

describeEachDatabase("a question and its answer", (database) => {
  test("are told at once by the streams of the session and of its user", async () => {
    await using server = await serveLive(database(), { heartbeatMs: 3_600_000 });
    const { orm } = database();
    const { sessionId, promptIds } = await seedSession(database(), 1);
    const run = (await claim(database(), promptIds[0] ?? "")) as ClaimedRun;
    const limits = { permissionTimeoutMs: 3_600_000 };
    const { append } = openRunWriter({ orm, run, signal: new AbortController().signal, limits });
    const readers = [
      await openReader(`${server.url}/sessions/${sessionId}/events`, { headers: ALICE }),
      await openReader(`${server.url}/events`, { headers: ALICE }),
    ];
    const [ofSession, ofUser] = readers;
    if (!ofSession || !ofUser) throw new Error("no readers");
    await ofSession.next("session");
    await ofUser.next("ready");
    /** Reads on until the session waits for this, and as many messages have come. */
    const hear = async (reader: typeof ofSession, waitingFor: string | null, messages: number) => {
      const heard: unknown[] = [];
      let waits: unknown;
      // Not `for await`, which would end the stream with the loop.
      const events = reader.events();
      for (;;) {
        const one = await events.next();
        if (one.done) throw new Error("the stream has ended");
        const { event } = one.value;
        const told = event === "message" || event === "session" ? JSON.parse(one.value.data) : undefined;
        if (event === "message") heard.push(told.data);
        if (event === "session" && told.id === sessionId) waits = told.waitingFor;
        if (waits === waitingFor && heard.length === messages) return heard;
      }
    };
    const request_id = crypto.randomUUID();
    const asked = { type: "system", subtype: "permission_request", request_id, tool: "Bash", input: {} };
    await append([asked], { from: 0, to: 10 });
    for (const reader of readers) expect(await hear(reader, "permission", 1)).toMatchObject([asked]);
    const list = await fetch(`${server.url}/sessions/${sessionId}/permissions`, { headers: ALICE });
    const [question] = ((await list.json()) as { permissions: { id: string }[] }).permissions;
    expect(question).toMatchObject({ request_id, status: "pending" });
    const answer = await fetch(`${server.url}/permissions/${question?.id}/answer`, {
      method: "POST",
      headers: { ...ALICE, "content-type": "application/json" },
      body: JSON.stringify({ decision: "allow" }),
    });
    expect(answer.status).toBe(200);
    for (const reader of readers) expect(await hear(reader, null, 0)).toEqual([]);
    for (const reader of readers) reader.leave();
  });
});
