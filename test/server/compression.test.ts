import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { brotliDecompressSync } from "node:zlib";
import { withCompression } from "../../src/server/compression.ts";
import { chooseEncoding, compress, ENCODINGS, type Encoding } from "../../src/server/encoding.ts";
import { listen } from "../../src/server/listen.ts";
import { PACKAGE_FILES } from "../../src/server/package-files.ts";
import { makeApp } from "../harness/app.ts";
import { createDeployment, startBackend } from "../harness/backend.ts";
import { compiledBinary } from "../harness/binary.ts";
import { sendRaw } from "../harness/raw-http.ts";
import { SLOW_TEST_TIMEOUT_MS, TEST_TIMEOUT_MS } from "../harness/timeouts.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const decoders: Record<Encoding, (bytes: Uint8Array) => Uint8Array> = {
  zstd: (bytes) => Bun.zstdDecompressSync(new Uint8Array(bytes)),
  br: brotliDecompressSync,
  gzip: (bytes) => Bun.gunzipSync(new Uint8Array(bytes)),
};
const ITEMS = JSON.stringify({
  sessions: Array.from({ length: 100 }, (_, id) => ({ id, title: "A title" })),
});
/** 2 KB, the same each time. */
const NOISE = Buffer.concat(Array.from({ length: 64 }, (_, n) => Bun.SHA256.hash(String(n)) as Uint8Array));
const JSON_TYPE = { "content-type": "application/json" };

describe("Accept-Encoding", () => {
  const choose = (header: string | undefined) =>
    chooseEncoding(
      new Request("http://x", header === undefined ? {} : { headers: { "accept-encoding": header } }),
      ENCODINGS,
    );
  test.each([
    [undefined, undefined],
    ["", undefined],
    ["identity", undefined],
    ["deflate, compress", undefined],
    ["gzip", "gzip"],
    ["GZIP", "gzip"],
    ["x-gzip", "gzip"],
    ["gzip, deflate, br, zstd", "zstd"],
    ["gzip, deflate, br", "br"],
    ["zstd;q=0.2, br;q=0.8, gzip;q=0.5", "br"],
    ["zstd; q=0, br;q=0.000, gzip ; q=0.001", "gzip"],
    ["*", "zstd"],
    ["*, zstd;q=0", "br"],
    ["*;q=0", undefined],
    ["*;q=0, gzip", "gzip"],
    ["identity;q=0", undefined],
    ["identity, gzip;q=0.5", undefined],
    ["identity;q=0.5, gzip", "gzip"],
    ["gzip;q=2", undefined],
    ["gzip;q=abc, br", "br"],
    ["zstandard, brotli", undefined],
  ])("%p is answered with %p", (header, encoding) => {
    expect(choose(header)?.encoding).toBe(encoding as Encoding);
  });

  test("is known to refuse what is not compressed", () => {
    for (const header of ["gzip, identity;q=0", "gzip, *;q=0"]) expect(choose(header)?.always).toBe(true);
    for (const header of ["gzip", "gzip, *;q=0, identity;q=0.1"]) expect(choose(header)?.always).toBe(false);
  });
});

describe("a reply", () => {
  const send = (
    reply: () => Response,
    { accept = "zstd", method = "GET" }: { accept?: string; method?: string } = {},
  ) =>
    withCompression({ fetch: async () => reply() }).fetch(
      new Request("http://x/", { method, headers: { "accept-encoding": accept } }),
    );

  test.each(ENCODINGS)("is compressed as %s, with a weak ETag and its own length", async (encoding) => {
    const headers = { ...JSON_TYPE, etag: '"tag"', vary: "Origin", "content-length": String(ITEMS.length) };
    const reply = await send(() => new Response(ITEMS, { headers }), { accept: encoding });
    const bytes = await reply.bytes();
    expect(Buffer.from(decoders[encoding](bytes)).toString()).toBe(ITEMS);
    expect(bytes.length).toBeLessThan(ITEMS.length / 2);
    expect([reply.headers.get("content-encoding"), reply.headers.get("etag")]).toEqual([encoding, 'W/"tag"']);
    expect(reply.headers.get("content-length")).toBe(String(bytes.length));
    expect(reply.headers.get("vary")).toBe("Origin");
  });

  const json =
    (body: string, headers: Record<string, string> = {}, status = 200) =>
    () =>
      new Response(body, { status, headers: { ...JSON_TYPE, ...headers } });
  test.each([
    ["of 1023 bytes", json(JSON.stringify("x".repeat(1021))), {}],
    [
      "that does not get smaller",
      () => new Response(NOISE, { headers: { "content-type": "text/plain" } }),
      {},
    ],
    ["of a stream of events", json(ITEMS, { "content-type": "text/event-stream; charset=utf-8" }), {}],
    ["with a secret", json(ITEMS, { "cache-control": "no-store" }), {}],
    ["that no proxy may change", json(ITEMS, { "cache-control": "private, no-transform" }), {}],
    ["that is encoded already", json(ITEMS, { "content-encoding": "br" }), {}],
    ["of another type", json(ITEMS, { "content-type": "application/octet-stream" }), {}],
    ["of a part", json(ITEMS, { "content-range": "bytes 0-9/10" }, 206), {}],
    ["that is an error", json(ITEMS, {}, 422), {}],
    ["to a change", json(ITEMS), { method: "POST" }],
    ["to a client that accepts none", json(ITEMS), { accept: "deflate" }],
  ] as const)("%s is left as it is", async (_what, make, options) => {
    const reply = await send(make, options);
    expect(await reply.text()).toBe(await make().text());
    expect(reply.headers.get("content-encoding")).toBe(make().headers.get("content-encoding"));
  });

  test.each([
    ["of 1024 bytes", 1024, 'W/"tag"', null],
    ["of 1023 bytes", 1023, '"tag"', "1023"],
  ] as const)("%s: HEAD has the ETag of GET", async (_what, size, etag, length) => {
    const body = JSON.stringify("x".repeat(size - 2));
    const headers = { etag: '"tag"', "content-length": String(size) };
    const get = await send(json(body, headers));
    const head = await send(json("", headers), { method: "HEAD" });
    expect([get, head].map((reply) => reply.headers.get("etag"))).toEqual([etag, etag]);
    expect(head.headers.get("content-length")).toBe(length);
  });

  test("that is small is compressed for a client that refuses it otherwise", async () => {
    const reply = await send(json("{}"), { accept: "gzip, identity;q=0" });
    expect(Buffer.from(decoders.gzip(await reply.bytes())).toString()).toBe("{}");
  });
});

describe("over HTTP", () => {
  async function withServer(run: (url: string) => Promise<void>) {
    const server = await listen({ app: withCompression(makeApp()), host: "127.0.0.1", port: 0 });
    try {
      await run(server.url);
    } finally {
      await server.stop();
    }
  }
  const get = async (url: string, path: string, headers: Record<string, string> = {}, method = "GET") => {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const reply = await sendRaw(
      url,
      `${method} ${path} HTTP/1.1\r\nHost: localhost\r\n${lines.join("")}\r\n`,
    );
    if (!reply) throw new Error("no reply");
    return reply;
  };
  const PATHS = ["/openapi.json", "/swagger-ui/swagger-ui-bundle.js"];

  test.each(PATHS)("%s is the same in every encoding, and 304 with the ETag of any", (path) =>
    withServer(async (url) => {
      const plain = await get(url, path);
      expect(plain.headers.get("content-encoding")).toBeNull();
      expect(plain.headers.get("etag")).not.toStartWith("W/");
      for (const encoding of ENCODINGS) {
        const accept = { "Accept-Encoding": encoding };
        const reply = await get(url, path, accept);
        expect([reply.status, reply.headers.get("content-encoding")]).toEqual([200, encoding]);
        expect(Buffer.from(decoders[encoding](reply.body)).equals(plain.body)).toBe(true);
        expect(reply.headers.get("vary")).toBe("Origin, Accept-Encoding");
        expect(reply.headers.get("etag")).toBe(`W/${plain.headers.get("etag")}`);
        expect(reply.body.length).toBeLessThan(plain.body.length / 3);

        const head = await get(url, path, accept, "HEAD");
        for (const name of ["content-length", "content-encoding", "etag"])
          expect(head.headers.get(name)).toBe(reply.headers.get(name));

        for (const etag of [plain, reply].map(({ headers }) => headers.get("etag") ?? "")) {
          const again = await get(url, path, { ...accept, "If-None-Match": etag });
          expect([again.status, again.body.length]).toEqual([304, 0]);
          expect(again.headers.get("etag")).toBe(reply.headers.get("etag"));
          expect((await get(url, path, { "If-None-Match": etag })).status).toBe(304);
        }
      }
    }),
  );

  test("HEAD names no length but that of the reply to GET", async () => {
    const app = { fetch: () => new Response(null, { headers: { ...JSON_TYPE, "content-length": "5000" } }) };
    const server = await listen({ app: withCompression(app), host: "127.0.0.1", port: 0 });
    try {
      const lengthFor = async (accept: string) =>
        (await get(server.url, "/", { "Accept-Encoding": accept }, "HEAD")).headers.get("content-length");
      expect([await lengthFor("identity"), await lengthFor("gzip")]).toEqual(["5000", null]);
    } finally {
      await server.stop();
    }
  });
});

test(
  "the service compresses lists, and no stream",
  async () => {
    await using deployment = await createDeployment("embedded");
    await using backend = await startBackend(deployment, { args: ["server"], env: { AUTH_MODE: "none" } });
    const session = { repo: "owner/name", target_branch: "x".repeat(200) };
    for (let n = 0; n < 5; n += 1)
      expect((await backend.request("POST", "/sessions", session)).status).toBe(200);
    const encodingOf = async (path: string) => {
      const away = new AbortController();
      const headers = { "accept-encoding": "gzip" };
      const reply = await fetch(`${backend.url}${path}`, { headers, decompress: false, signal: away.signal });
      away.abort();
      return [reply.status, reply.headers.get("content-encoding")];
    };
    expect(await encodingOf("/sessions")).toEqual([200, "gzip"]);
    expect(await encodingOf("/events")).toEqual([200, null]);
  },
  SLOW_TEST_TIMEOUT_MS,
);

test("the executable contains the large assets compressed", async () => {
  const executable = await Bun.file(await compiledBinary()).bytes();
  for (const path of Object.values(PACKAGE_FILES))
    for (const encoding of ENCODINGS)
      expect(
        Buffer.from(executable.buffer).includes(
          await compress(await Bun.file(path).bytes(), encoding, "small"),
        ),
      ).toBe(true);
});
