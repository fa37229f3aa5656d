import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { statSync } from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { exchange, receive, useGateways } from "./fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const open = useGateways();
const echo = (socket: Socket) => socket.pipe(socket);

/** An HTTP server that answers with the request it received, and closes. */
const mirror = () =>
  open.upstream((socket) => {
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      if (!/\r\n\r\n/.test(text) || socket.writableEnded) return;
      const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
      if (text.length < text.indexOf("\r\n\r\n") + 4 + length) return;
      socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\nConnection: close\r\n\r\n${text}`);
    });
  });

describe("the protocols of a gateway", () => {
  test("CONNECT to an allowed address is a tunnel, with bytes that follow the head at once", async () => {
    const { port } = await open.upstream(echo);
    const gateway = await open.gateway({ allow: `127.0.0.1:${port}` });
    const socket = gateway.connect();
    const target = `127.0.0.1:${port}`;
    const text = await exchange(socket, `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\nhello`, true);
    expect(text).toBe("HTTP/1.1 200 Connection established\r\n\r\nhello");
    expect(gateway.decisions).toMatchObject([{ allowed: true, host: "127.0.0.1", port }]);
  });

  test("plain HTTP goes to the target, with that target as Host", async () => {
    const { port } = await mirror();
    const gateway = await open.gateway({ allow: `127.0.0.1:${port}` });
    const request = `POST http://127.0.0.1:${port}/a/b?c=d HTTP/1.1\r\nHost: elsewhere\r\nProxy-Authorization: x\r\nX-A: 1\r\nContent-Length: 4\r\n\r\nbody`;
    const text = await exchange(gateway.connect(), request);
    expect(text).toContain(
      `\r\n\r\nPOST /a/b?c=d HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nX-A: 1\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody`,
    );
  });

  test("SOCKS5 by address and by name, which is resolved on the host", async () => {
    const { port } = await open.upstream(echo);
    const allow = `registry.example:${port},127.0.0.1:${port}`;
    const gateway = await open.gateway({ allow, resolve: async () => ["127.0.0.1"] });
    const [high, low] = [port >> 8, port & 255];
    const name = [...Buffer.from("registry.example")];
    for (const address of [
      [1, 127, 0, 0, 1],
      [3, name.length, ...name],
    ]) {
      const socket = gateway.connect();
      socket.write(Uint8Array.of(5, 1, 0));
      await receive(socket, (text) => text === "\x05\0");
      socket.write(Uint8Array.of(5, 1, 0, ...address, high, low));
      await receive(socket, (text) => text.length === 10 && text.startsWith("\x05\0"));
      expect(await exchange(socket, "hello", true)).toBe("hello");
    }
  });

  test("requests for the model go to the model's server, and its connections stay open for more", async () => {
    await using model = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request) => new Response(`model ${new URL(request.url).pathname}`),
    });
    const gateway = await open.gateway({ modelPort: Number(model.port) });
    const socket = gateway.connect();
    for (const path of ["/one", "/two"]) {
      socket.write(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`);
      expect(await receive(socket, (text) => text.includes("model"))).toContain(`model ${path}`);
    }
    expect(gateway.decisions).toEqual([]);
    const none = await open.gateway();
    expect(await exchange(none.connect(), "GET / HTTP/1.1\r\n\r\n")).toMatch(/^HTTP\/1.1 404 /);
  });

  test("a program that asks the proxy for the model itself reaches it, and no other port of loopback", async () => {
    await using model = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request) => new Response(`model ${new URL(request.url).pathname}`),
    });
    const gateway = await open.gateway({ modelPort: Number(model.port), insidePort: 3128 });
    const ask = (port: number) =>
      exchange(
        gateway.connect(),
        `GET http://127.0.0.1:${port}/v1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
      );
    expect(await ask(3_128)).toEndWith("model /v1");
    expect(await ask(Number(model.port))).toStartWith("HTTP/1.1 403 ");
    expect(await ask(31_280)).toStartWith("HTTP/1.1 403 ");
  });

  test("a refusal says what would allow it", async () => {
    const gateway = await open.gateway();
    const text = await exchange(gateway.connect(), "CONNECT example.com:443 HTTP/1.1\r\n\r\n");
    expect(text).toMatch(/^HTTP\/1.1 403 Forbidden\r\n/);
    expect(text).toContain("refused: example.com:443; allow it with EGRESS_ALLOW=example.com:443\n");
    expect(gateway.decisions).toMatchObject([
      { allowed: false, host: "example.com", port: 443, rule: "not in EGRESS_ALLOW" },
    ]);
  });
});

describe("the socket of a gateway", () => {
  test("any user may connect, and a successor takes over at the same path", async () => {
    const gateway = await open.gateway();
    const file = join(gateway.folder, "gateway.sock");
    expect([statSync(gateway.folder).mode & 0o777, statSync(file).mode & 0o777]).toEqual([0o711, 0o666]);
    const second = await open.gateway({ place: { folder: gateway.folder, socket: "gateway.sock" } });
    // The first one leaves later, as a service does that hands its runs over.
    await gateway.close();
    expect(await exchange(gateway.connect(), "GET / HTTP/1.1\r\n\r\n")).toMatch(/^HTTP\/1.1 404 /);
    await second.close();
  });

  test("a path longer than a socket's address may be", async () => {
    const folder = join(open.folderOf(), "x".repeat(120));
    const gateway = await open.gateway({ place: { folder, socket: "gateway.sock" } });
    expect(statSync(join(folder, "gateway.sock")).isSocket()).toBe(true);
    await gateway.close();
  });
});
