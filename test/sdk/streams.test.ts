import { describe, expect, spyOn, test } from "bun:test";
import { against, badGateway, HTML, ID, NEVER, sdk } from "./client.ts";
import { chunk, frame, json, killed, refusal, type Step, silent, stream, text } from "./scripted-server.ts";

const message = (seq: number) => frame("message", { seq }, seq);
const deleted = frame("deleted", { id: ID });
const bye = frame("bye", { reason: "shutdown" });

/** Reads a stream to its end. */
async function eventsOf(
  events: AsyncIterable<{ event: string; id?: string | undefined }>,
): Promise<string[]> {
  const seen: string[] = [];
  for await (const { event, id } of events) seen.push(id === undefined ? event : `${event} ${id}`);
  return seen;
}

describe("a stream", () => {
  test("resumes after the last message, however it was lost", async () => {
    const reconnects: unknown[] = [];
    const { server, pb } = await against(
      {},
      stream(message(1) + message(2)),
      killed,
      stream(message(3) + bye, { end: true }),
      // Half of a message is none.
      stream(`${message(4)}id: 5\nevent: message\ndata: {"se`),
      refusal("503 Service Unavailable", "shutting_down"),
      badGateway,
      stream(message(5) + deleted),
    );
    await using _ = server;
    const seen: (string | undefined)[] = [];
    for await (const { id } of pb.events.session(ID, { onReconnect: (error) => reconnects.push(error) })) {
      seen.push(id);
      if (id === "2" || id === "4") server.asked.at(-1)?.socket.destroy();
    }
    expect(seen).toEqual(["1", "2", "3", "4", "5", undefined]);
    expect(server.asked.map(({ headers }) => headers["last-event-id"])).toEqual([
      ...[undefined, "2", "2"],
      ...["3", "4", "4", "4"],
    ]);
    expect(reconnects.map((error) => (error as Error | undefined)?.name)).toEqual([
      ...["ConnectionError", "ConnectionError", undefined],
      ...["ConnectionError", "InternalServerError", "InternalServerError"],
    ]);
    expect(server.asked[0]).toMatchObject({
      path: `/sessions/${ID}/events`,
      headers: { accept: "text/event-stream", authorization: "Bearer secret-token" },
    });
  });

  test("that is silent is left for another: no byte, heartbeats included", async () => {
    const steps = [stream(message(1)), silent, stream(message(2) + deleted)] as const;
    const { server, pb } = await against({ timeout: 50 }, ...steps);
    await using _ = server;
    const reconnects: unknown[] = [];
    const options = { idleTimeout: 50, onReconnect: (error: unknown) => reconnects.push(error) };
    expect(await eventsOf(pb.events.session(ID, options))).toEqual(["message 1", "message 2", "deleted"]);
    expect(reconnects).toEqual([expect.any(sdk.TimeoutError), expect.any(sdk.TimeoutError)]);
    await Promise.all(server.asked.map(({ closed }) => closed));
  });

  test("may be silent for 45 s by default", async () => {
    const { server, pb } = await against({}, stream(message(1)));
    await using _ = server;
    using timers = spyOn(globalThis, "setTimeout");
    for await (const _event of pb.events.session(ID)) break;
    expect(timers.mock.calls.map(([, ms]) => ms)).toContain(45_000);
  });

  test("with heartbeats is not silent", async () => {
    const beats: Step = async (asked) => {
      await stream(message(1))(asked);
      let count = 0;
      const timer = setInterval(() => {
        count += 1;
        if (count <= 10) return void asked.socket.write(chunk(": heartbeat\n\n"));
        clearInterval(timer);
        asked.socket.write(chunk(deleted));
      }, 20);
    };
    const { server, pb } = await against({}, beats);
    await using _ = server;
    expect(await eventsOf(pb.events.session(ID, { idleTimeout: 150 }))).toEqual(["message 1", "deleted"]);
    expect(server.asked).toHaveLength(1);
  });

  test("whose reader takes its time is not silent", async () => {
    const { server, pb } = await against({}, stream(message(1) + message(2) + deleted));
    await using _ = server;
    for await (const _event of pb.events.session(ID, { idleTimeout: 20 })) await Bun.sleep(40);
    expect(server.asked).toHaveLength(1);
  });

  test.each(["429 Too Many Requests", "503 Service Unavailable"])(
    "%s: Retry-After is waited for",
    async (status) => {
      const later = refusal(status, "later", { "retry-after": "0" });
      const { server, pb } = await against(NEVER, later, later, stream(deleted));
      await using _ = server;
      expect(await eventsOf(pb.events.session(ID))).toEqual(["deleted"]);
      expect(server.asked).toHaveLength(3);
    },
  );

  test("`retry:` says how long to wait", async () => {
    const { server, pb } = await against(NEVER, stream(`retry: 1\n\n${bye}`, { end: true }), stream(deleted));
    await using _ = server;
    expect(await eventsOf(pb.events.session(ID))).toEqual(["deleted"]);
  });

  test("asks for a new token after a 401, once", async () => {
    const unauthorized = refusal("401 Unauthorized", "unauthorized");
    const token = (why: unknown) => (why === "rejected" ? "new" : "old");
    const { server, pb } = await against({ token }, unauthorized, stream(bye, { end: true }), unauthorized);
    await using _ = server;
    await expect(eventsOf(pb.events.session(ID))).rejects.toBeInstanceOf(sdk.AuthenticationError);
    expect(server.asked.map(({ headers }) => headers["authorization"])).toEqual([
      ...["Bearer old", "Bearer new"],
      ...["Bearer old", "Bearer new"],
    ]);
  });

  test("ends with an error where a retry would not help", async () => {
    const cases: [Step, typeof sdk.APIError | typeof sdk.ProtocolError][] = [
      [refusal("404 Not Found", "session_not_found"), sdk.NotFoundError],
      [refusal("422 Unprocessable Entity", "invalid"), sdk.UnprocessableEntityError],
      [text("200 OK", "text/html", HTML), sdk.APIError],
      [json({}), sdk.ProtocolError],
      [stream("event: message\ndata: {\n\n"), sdk.ProtocolError],
    ];
    for (const [step, Class] of cases) {
      const { server, pb } = await against({}, step);
      await using _ = server;
      await expect(eventsOf(pb.events.session(ID))).rejects.toBeInstanceOf(Class);
      expect(server.asked).toHaveLength(1);
    }
  });

  test.each([
    ["line", "x".repeat(64 * 1024)],
    ["event", `data: ${"x".repeat(64 * 1024)}\n`],
  ])("without an end of its %s does not fill the memory", async (_name, piece) => {
    const flood: Step = async (asked) => {
      await stream("event: message\n")(asked);
      while (!asked.socket.destroyed) {
        await new Promise((resolve) => asked.socket.write(chunk(piece), resolve));
        // The client is in this process, and has to have its turn.
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const { server, pb } = await against({}, flood);
    await using _ = server;
    await expect(eventsOf(pb.events.session(ID))).rejects.toThrow("longer than 8388608 characters");
    await server.asked[0]?.closed;
  });

  test("is cut anywhere, has comments, CRLF and fields without a blank", async () => {
    const frames =
      'id:7\r\nevent:message\r\ndata:{"text":\r\ndata:"é😀"}\r\n\r\n: comment\n\nevent: nothing\n\n';
    const bytes = Buffer.from(frames + deleted);
    const pieces: Step = async (asked) => {
      await stream("")(asked);
      for (const byte of bytes)
        await new Promise((resolve) => asked.socket.write(chunk(Uint8Array.of(byte)), resolve));
    };
    const { server, pb } = await against({}, pieces);
    await using _ = server;
    const seen: unknown[] = [];
    for await (const event of pb.events.session(ID)) seen.push(event);
    expect(seen).toEqual([
      { event: "message", id: "7", data: { text: "é😀" } },
      { event: "deleted", id: undefined, data: { id: ID } },
    ]);
  });

  test("of all sessions goes on when one of them is deleted", async () => {
    const ready = frame("ready", { sessions: 2 }, "1.a");
    const { server, pb } = await against({}, stream(ready + deleted + frame("message", {}, "1.b")));
    await using _ = server;
    const seen: string[] = [];
    for await (const { event } of pb.events.all({ after: "1.0" })) {
      seen.push(event);
      if (event === "message") break;
    }
    expect(seen).toEqual(["ready", "deleted", "message"]);
    expect(server.asked[0]).toMatchObject({ path: "/events", headers: { "last-event-id": "1.0" } });
  });

  describe("that is aborted ends without an error, and closes the connection", () => {
    test.each([
      ["while it connects", silent],
      ["while it is read", stream(message(1))],
    ])("%s", async (_name, step) => {
      const { server, pb } = await against({}, step);
      await using _ = server;
      const stop = new AbortController();
      const reading = eventsOf(pb.events.session(ID, { signal: stop.signal }));
      const [asked] = await server.requests(1);
      stop.abort();
      await reading;
      await asked?.closed;
      expect(server.asked).toHaveLength(1);
    });

    test("before it connects, and between two connections", async () => {
      const { server, pb } = await against(NEVER, killed);
      await using _ = server;
      expect(await eventsOf(pb.events.session(ID, { signal: AbortSignal.abort() }))).toEqual([]);
      expect(server.asked).toHaveLength(0);
      const stop = new AbortController();
      const onReconnect = () => void setTimeout(() => stop.abort());
      expect(await eventsOf(pb.events.session(ID, { signal: stop.signal, onReconnect }))).toEqual([]);
      expect(server.asked).toHaveLength(1);
    });
  });

  test("that is left by `break` closes the connection", async () => {
    const { server, pb } = await against({}, stream(message(1)));
    await using _ = server;
    for await (const _event of pb.events.session(ID)) break;
    await server.asked[0]?.closed;
  });
});
