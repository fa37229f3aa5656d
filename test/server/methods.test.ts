import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { listen } from "../../src/server/listen.ts";
import { makeApp } from "../harness/app.ts";
import { sendRaw } from "../harness/raw-http.ts";
import { TEST_TIMEOUT_MS } from "../harness/timeouts.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const app = makeApp();
const ID = "019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708";
const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "M-SEARCH"];
/** The parameters of two patterns may have different names. */
const shapeOf = (path: string) => path.replace(/:\w+/g, ":id");
const shapes = [...new Set(app.routes.map(({ path }) => shapeOf(path)))];
const offeredBy = (shape: string) => {
  const own = app.routes.filter(({ path }) => shapeOf(path) === shape).map(({ method }) => method);
  return [...new Set([...own, ...(own.includes("GET") ? ["HEAD"] : [])])].sort();
};

let server: Awaited<ReturnType<typeof listen>>;
beforeAll(async () => {
  server = await listen({ app, host: "127.0.0.1", port: 0 });
});
afterAll(() => server.stop());
const send = (method: string, path: string) =>
  sendRaw(server.url, `${method} ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);

describe("a method that a path does not offer is 405 with exactly those that it offers", () => {
  test.each(shapes)("%s", async (shape) => {
    const path = shape.replaceAll(":id", ID);
    const offered = offeredBy(shape);
    for (const method of METHODS.filter((one) => !offered.includes(one)))
      for (const at of [path, path.endsWith("/") ? path : `${path}/`]) {
        const reply = await send(method, at);
        expect([method, at, reply?.status, reply?.headers.get("allow")]).toEqual([
          method,
          at,
          405,
          offered.join(", "),
        ]);
        if (method !== "HEAD")
          expect(JSON.parse(String(reply?.body))).toMatchObject({
            err: "method_not_allowed",
            code: "method_not_allowed",
          });
      }
  });

  test.each(shapes)("%s offers what Allow says", async (shape) => {
    const path = shape.replaceAll(":id", ID);
    for (const method of offeredBy(shape)) expect((await send(method, path))?.status).not.toBe(405);
  });

  test("an unknown path is 404 with any method", async () => {
    for (const method of METHODS) expect((await send(method, "/nowhere"))?.status).toBe(404);
  });
});

test("no path fits two patterns with parameters, of which neither would win", () => {
  const parts = shapes.filter((shape) => shape.includes(":")).map((shape) => shape.split("/"));
  const pairs = parts.flatMap((one, index) => parts.slice(index + 1).map((other) => [one, other] as const));
  const both = pairs.filter(
    ([one, other]) =>
      one.length === other.length &&
      one.every((part, index) => part === other[index] || part === ":id" || other[index] === ":id"),
  );
  expect(both).toEqual([]);
});

test("what Bun refuses by itself is as docs/ERRORS.md says", async () => {
  const host = "Host: localhost\r\n";
  const filled = (length: number) => `GET /health HTTP/1.1\r\n${host}X-Filler: ${"x".repeat(length)}\r\n\r\n`;
  const refused: [string, number | undefined][] = [
    ["nonsense\r\n\r\n", 400],
    ["GET /health HTTP/1.1\r\n\r\n", 400],
    [`OPTIONS * HTTP/1.1\r\n${host}\r\n`, 400],
    [filled(17_000), 431],
    [`GET /health HTTP/2.0\r\n${host}\r\n`, 505],
    [`BREW /health HTTP/1.1\r\n${host}\r\n`, undefined],
  ];
  for (const [text, status] of refused) {
    const reply = await sendRaw(server.url, text);
    expect([text, reply?.status, reply?.body.length ?? 0]).toEqual([text, status, 0]);
  }
  expect((await sendRaw(server.url, filled(15_000)))?.status).toBe(200);
});
