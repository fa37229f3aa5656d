import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import type { Socket } from "node:net";
import { SLOW_TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { until } from "../harness/until.ts";
import { exchange, receive, useGateways } from "./fixture.ts";

setDefaultTimeout(SLOW_TEST_TIMEOUT_MS);

const MIB = 1024 ** 2;
const open = useGateways();
const echo = (socket: Socket) => socket.pipe(socket);
const closed = (socket: Socket) =>
  new Promise<void>((resolve) => {
    socket.on("error", () => undefined);
    // An end, too: this side stays open for writing.
    for (const event of ["end", "close"]) socket.once(event, () => resolve());
    socket.resume();
  });

async function tunnel(gateway: { connect(): Socket }, port: number): Promise<Socket> {
  const socket = gateway.connect();
  socket.write(`CONNECT 127.0.0.1:${port} HTTP/1.1\r\n\r\n`);
  await receive(socket, (text) => text.endsWith("\r\n\r\n"));
  return socket;
}

describe("a gateway under load", () => {
  test("slow loris: heads that do not arrive in time end, and so do those that are too long", async () => {
    const gateway = await open.gateway({ mode: "open", headTimeoutMs: 200 });
    for (const start of ["", "GET http://a", "CONNECT a:1 HTTP/1.1\r\nX: ", "\x05", "\x05\x01\0\x05\x01"]) {
      const text = await exchange(gateway.connect(), start);
      expect(text.replace("\x05\0", "")).toStartWith("HTTP/1.1 408 ");
    }
    const long = `GET http://example.com/ HTTP/1.1\r\nX: ${"a".repeat(17 * 1024)}`;
    expect(await exchange(gateway.connect(), long)).toStartWith("HTTP/1.1 431 ");
    expect(gateway.decisions).toEqual([]);
  });

  test("of 1,000 connections 128 are kept; the others end at once, and the model is still reached", async () => {
    await using model = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("model") });
    const { port } = await open.upstream(echo);
    const allow = `127.0.0.1:${port}`;
    const gateway = await open.gateway({ allow, modelPort: Number(model.port) });
    let [opened, refused, gone] = [0, 0, 0];
    const sockets = Array.from({ length: 120 }, () => gateway.connect());
    for (const socket of sockets) {
      socket.on("error", () => undefined);
      socket.write(`CONNECT ${allow} HTTP/1.1\r\n\r\n`);
      socket.on("data", (chunk: Buffer) => {
        if (chunk.toString().startsWith("HTTP/1.1 200")) opened += 1;
        else refused += 1;
      });
    }
    await until(() => opened + refused === 120, { what: "all tunnels to be opened or refused" });
    expect([opened, refused]).toEqual([96, 24]);
    expect(
      await exchange(gateway.connect(), "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
    ).toEndWith("model");
    for (let round = 0; round < 880; round += 40)
      await Promise.all(
        Array.from({ length: 40 }, async () => {
          const socket = gateway.connect();
          const timer = setTimeout(() => socket.destroy(), 20);
          await closed(socket);
          clearTimeout(timer);
          gone += 1;
        }),
      );
    expect(gone).toBe(880);
    for (const socket of sockets) socket.destroy();
    // All places are free again.
    await until(
      async () =>
        (await exchange(gateway.connect(), `CONNECT ${allow} HTTP/1.1\r\n\r\nhi`, true)).endsWith("hi"),
      { what: "a tunnel" },
    );
  });

  test("an upstream that never answers is given up when nothing moves", async () => {
    const { port } = await open.upstream(() => undefined);
    const gateway = await open.gateway({ allow: `127.0.0.1:${port}`, idleMs: 300 });
    await closed(await tunnel(gateway, port));
    const socket = gateway.connect();
    socket.write(`GET http://127.0.0.1:${port}/ HTTP/1.1\r\n\r\n`);
    await closed(socket);
  });

  test("a side that breaks breaks the other one, and the gateway's end ends both", async () => {
    const ends: Promise<void>[] = [];
    const { port } = await open.upstream((socket) => ends.push(closed(socket)));
    const gateway = await open.gateway({ allow: `127.0.0.1:${port}` });
    const first = await tunnel(gateway, port);
    first.destroy();
    await ends[0];
    const second = await tunnel(gateway, port);
    await gateway.close();
    await Promise.all([closed(second), ends[1]]);
  });

  test("half-close: a server answers after the client has ended its side", async () => {
    const { port } = await open.upstream((socket) => {
      socket.resume();
      socket.on("end", () => socket.end("after the end"));
    });
    const gateway = await open.gateway({ allow: `127.0.0.1:${port}` });
    expect(await exchange(await tunnel(gateway, port), "all", true)).toBe("after the end");
  });

  test("100 MB pass unchanged to a slow reader, in bounded memory", async () => {
    const block = Buffer.alloc(MIB, "0123456789abcdef");
    const [sent, received] = [createHash("sha256"), createHash("sha256")];
    let written = 0;
    const { port } = await open.upstream((socket) => {
      const write = () => {
        while (written < 100) {
          sent.update(block);
          written += 1;
          if (!socket.write(block)) return void socket.once("drain", write);
        }
        socket.end();
      };
      write();
    });
    const gateway = await open.gateway({ allow: `127.0.0.1:${port}` });
    const socket = gateway.connect();
    socket.write(`CONNECT 127.0.0.1:${port} HTTP/1.1\r\n\r\n`);
    await receive(socket, (text) => text.startsWith("HTTP/1.1 200"));
    socket.pause();
    // Nobody reads: the sender must be held back, by the gateway and not by its memory.
    let before = -1;
    await until(
      () => {
        const same = before === written;
        before = written;
        return same;
      },
      { what: "the sender to stop", everyMs: 300 },
    );
    expect(written).toBeLessThan(20);
    let bytes = 0;
    socket.on("data", (chunk: Buffer) => {
      received.update(chunk);
      bytes += chunk.length;
    });
    const end = closed(socket);
    socket.resume();
    await end;
    // What came with the reply's head was read by `receive`.
    expect(bytes).toBeGreaterThan(99 * MIB);
  });
});
