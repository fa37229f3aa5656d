import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Socket } from "node:net";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";
import { exchange, type OpenedGateway, receive, useGateways } from "./fixture.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const open = useGateways();

/** A server of this machine that no sandbox may reach. It counts its visitors and keeps what they send. */
async function secretServer() {
  const seen = { connections: 0, text: "" };
  const { port } = await open.upstream((socket) => {
    seen.connections += 1;
    socket.on("data", (chunk) => {
      seen.text += chunk.toString("latin1");
      if (!seen.text.includes("\r\n\r\n") || socket.writableEnded) return;
      socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    });
  });
  return { port, seen };
}

/** Through SOCKS5. @returns the code of the reply. */
async function socks(socket: Socket, address: readonly number[], port: number): Promise<number> {
  socket.write(Uint8Array.of(5, 1, 0));
  await receive(socket, (text) => text.length === 2);
  socket.write(Uint8Array.of(5, 1, 0, ...address, port >> 8, port & 255));
  const reply = await receive(socket, (text) => text.length === 10);
  socket.destroy();
  return reply.charCodeAt(1);
}
const byName = (name: string) => [3, Buffer.byteLength(name), ...Buffer.from(name)];

describe("a server on the host's loopback is out of reach, also where everything public is allowed", () => {
  const spellings = [
    "127.0.0.1",
    "127.1",
    "0x7f000001",
    "0x7f.1",
    "2130706433",
    "017700000001",
    "127.0.0.1.",
    "localhost",
    "LOCALHOST.",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "0.0.0.0",
    "0",
    "[::]",
  ];

  test.each(spellings)("CONNECT, plain HTTP and SOCKS to %s", async (host) => {
    const { port, seen } = await secretServer();
    // As the host resolves it: localhost is 127.0.0.1.
    const gateway = await open.gateway({ mode: "open", resolve: async () => ["127.0.0.1", "::1"] });
    const target = `${host}:${port}`;
    for (const request of [
      `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`,
      `GET http://${target}/ HTTP/1.1\r\nHost: ${target}\r\n\r\n`,
    ])
      expect(await exchange(gateway.connect(), request)).toStartWith("HTTP/1.1 403 ");
    expect(await socks(gateway.connect(), byName(host.replace(/[[\]]/g, "")), port)).toBe(2);
    expect(seen.connections).toBe(0);
    expect(gateway.decisions).toHaveLength(3);
    for (const decision of gateway.decisions)
      expect(decision).toMatchObject({ allowed: false, rule: "private address" });
  });

  test("SOCKS by number, in both families", async () => {
    const { port, seen } = await secretServer();
    const gateway = await open.gateway({ mode: "open" });
    expect(await socks(gateway.connect(), [1, 127, 0, 0, 1], port)).toBe(2);
    expect(await socks(gateway.connect(), [4, ...new Array(15).fill(0), 1], port)).toBe(2);
    const mapped = [4, ...new Array(10).fill(0), 255, 255, 127, 0, 0, 1];
    expect(await socks(gateway.connect(), mapped, port)).toBe(2);
    expect(seen.connections).toBe(0);
  });

  test.each<[string, (gateway: OpenedGateway, port: number) => Promise<unknown>]>([
    ["HTTP", (to, port) => exchange(to.connect(), `GET http://localhost:${port}/ HTTP/1.1\r\n\r\n`)],
    ["CONNECT", (to, port) => exchange(to.connect(), `CONNECT localhost:${port} HTTP/1.1\r\n\r\n`)],
    ["SOCKS", (to, port) => socks(to.connect(), byName("localhost"), port)],
  ])("DNS rebinding, by %s: the second answer is never asked for", async (_what, ask) => {
    const { port, seen } = await secretServer();
    let asked = 0;
    // The first answer is an address of this machine that is listed, and stands for a public one. To dial the name itself
    // would reach the server.
    const gateway = await open.gateway({
      allow: `localhost:${port},127.0.0.2:${port}`,
      resolve: async () => [["127.0.0.2"], ["127.0.0.1"]][asked++] ?? [],
    });
    await ask(gateway, port);
    expect(asked).toBe(1);
    expect(gateway.decisions[0]?.addresses).toEqual(["127.0.0.2"]);
    expect(seen.connections).toBe(0);
    // The next connection is a new decision, with the new answer.
    await ask(gateway, port);
    expect(gateway.decisions[1]).toMatchObject({ allowed: false, rule: "private address" });
    expect(seen.connections).toBe(0);
  });
});

describe("request smuggling", () => {
  const smuggled = "GET /secret HTTP/1.1\r\nHost: x\r\n\r\n";
  const cases: readonly [name: string, headers: string, body: string][] = [
    [
      "Content-Length and Transfer-Encoding",
      "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
      "0\r\n\r\n",
    ],
    ["Transfer-Encoding alone", "Transfer-Encoding: chunked\r\n", `0\r\n\r\n${smuggled}`],
    ["Transfer-Encoding with a space", "Transfer-Encoding : chunked\r\n", `0\r\n\r\n${smuggled}`],
    ["two Content-Lengths", "Content-Length: 0\r\nContent-Length: 5\r\n", smuggled],
    ["two equal Content-Lengths", "Content-Length: 5\r\nContent-Length: 5\r\n", smuggled],
    ["a list as Content-Length", "Content-Length: 0, 5\r\n", smuggled],
    ["a signed Content-Length", "Content-Length: +5\r\n", smuggled],
    ["a hexadecimal Content-Length", "Content-Length: 0x5\r\n", smuggled],
    ["a line feed alone", "X: a\nTransfer-Encoding: chunked\r\n", smuggled],
    ["a carriage return alone", "X: a\rTransfer-Encoding: chunked\r\n", smuggled],
    ["a continued line", "X: a\r\n Transfer-Encoding: chunked\r\n", smuggled],
    ["a NUL", "X: a\0b\r\n", smuggled],
    ["no name", ": a\r\n", smuggled],
    ["no colon", "X\r\n", smuggled],
  ];
  test.each(cases)("%s", async (_name, headers, body) => {
    const { port, seen } = await secretServer();
    const gateway = await open.gateway({ allow: `GET|POST http://127.0.0.1:${port}/public/*` });
    const request = `POST http://127.0.0.1:${port}/public/a HTTP/1.1\r\nHost: x\r\n${headers}\r\n${body}`;
    expect(await exchange(gateway.connect(), request)).toMatch(/^HTTP\/1\.1 4\d\d /);
    expect(seen).toEqual({ connections: 0, text: "" });
  });

  test.each([
    ["tabs", "GET\thttp://127.0.0.1:1/\tHTTP/1.1"],
    ["a second space", "GET  http://127.0.0.1:1/ HTTP/1.1"],
    ["HTTP/0.9", "GET http://127.0.0.1:1/"],
    ["HTTP/2", "GET http://127.0.0.1:1/ HTTP/2.0"],
    ["a user", "GET http://user@127.0.0.1:1/ HTTP/1.1"],
    ["a fragment", "GET http://127.0.0.1:1/#a HTTP/1.1"],
    ["https", "GET https://127.0.0.1:1/ HTTP/1.1"],
    ["another scheme", "GET ftp://127.0.0.1:1/ HTTP/1.1"],
    ["no host", "GET http:///a HTTP/1.1"],
    ["port 0", "GET http://127.0.0.1:0/ HTTP/1.1"],
    ["a large port", "CONNECT 127.0.0.1:65536 HTTP/1.1"],
    ["CONNECT without a port", "CONNECT 127.0.0.1 HTTP/1.1"],
    ["CONNECT to a URL", "CONNECT http://127.0.0.1:1/ HTTP/1.1"],
    ["CONNECT with a body", "CONNECT 127.0.0.1:1 HTTP/1.1\r\nContent-Length: 5"],
  ])("a first line with %s", async (_name, line) => {
    const gateway = await open.gateway({ mode: "open" });
    expect(await exchange(gateway.connect(), `${line}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 400 /);
    expect(gateway.decisions).toEqual([]);
  });

  test("a second request on the same connection is never sent on, wherever it goes", async () => {
    const { port, seen } = await secretServer();
    const gateway = await open.gateway({ allow: `http://127.0.0.1:${port}/public/*` });
    const first = `GET http://127.0.0.1:${port}/public/a HTTP/1.1\r\nHost: x\r\n\r\n`;
    for (const second of [
      `GET http://127.0.0.1:${port}/secret HTTP/1.1\r\nHost: x\r\n\r\n`,
      smuggled,
      `CONNECT 127.0.0.1:${port} HTTP/1.1\r\n\r\n`,
    ]) {
      seen.text = "";
      const text = await exchange(gateway.connect(), first + second);
      expect(text.match(/HTTP\/1\.1 /g)).toHaveLength(1);
      expect(seen.text).toBe(
        `GET /public/a HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`,
      );
    }
    expect(gateway.decisions).toHaveLength(3);
  });

  test("neither a Host header nor a hop-by-hop header nor Connection changes what is sent on", async () => {
    const { port, seen } = await secretServer();
    const gateway = await open.gateway({ allow: `127.0.0.1:${port}` });
    const headers = [
      "Host: metadata.internal",
      "Connection: Content-Length, X-Drop",
      "X-Drop: 1",
      "Upgrade: websocket",
      "Proxy-Authorization: secret",
      "Content-Length: 2",
    ];
    await exchange(
      gateway.connect(),
      `POST http://127.0.0.1:${port}/a HTTP/1.1\r\n${headers.join("\r\n")}\r\n\r\nhi${smuggled}`,
    );
    expect(seen.text).toBe(
      `POST /a HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi`,
    );
  });
});

describe("what neither HTTP nor SOCKS5 says", () => {
  test.each([
    ["SOCKS4", Uint8Array.of(4, 1, 0, 80, 127, 0, 0, 1, 0)],
    ["TLS", Uint8Array.of(22, 3, 1, 2, 0)],
    ["lower case", Buffer.from("get http://127.0.0.1/ HTTP/1.1\r\n\r\n")],
    ["an empty line", Buffer.from("\r\n\r\n")],
  ])("%s is answered with an error", async (_name, bytes) => {
    const gateway = await open.gateway({ mode: "open" });
    expect(await exchange(gateway.connect(), bytes)).toMatch(/^HTTP\/1\.1 400 /);
  });

  test.each([
    ["no acceptable method", [5, 1, 2], "\x05\xff"],
    ["BIND", [5, 1, 0, 5, 2, 0, 1, 127, 0, 0, 1, 0, 80], "\x05\0\x05\x07"],
    ["UDP", [5, 1, 0, 5, 3, 0, 1, 127, 0, 0, 1, 0, 80], "\x05\0\x05\x07"],
    ["an unknown kind of address", [5, 1, 0, 5, 1, 0, 9, 1], "\x05\0\x05\x08"],
    // It was recorded as a target, in the row of what there was no room for.
    ["port 0", [5, 1, 0, 5, 1, 0, 3, 5, ...Buffer.from("other"), 0, 0], "\x05\0\x05\x01"],
    ["an empty name", [5, 1, 0, 5, 1, 0, 3, 0, 0, 80], "\x05\0\x05\x02"],
  ])("SOCKS5 with %s", async (_name, bytes, reply) => {
    const gateway = await open.gateway({ mode: "open" });
    expect(await exchange(gateway.connect(), Uint8Array.from(bytes))).toStartWith(reply);
  });
});
