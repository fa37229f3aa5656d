import { beforeAll, describe, expect, test } from "bun:test";
import { buildConsole } from "../../.ci/console.ts";
import { makeApp } from "../harness/app.ts";

const app = makeApp();
const get = (path: string, headers: Record<string, string> = {}) =>
  app.handle(new Request(`http://localhost${path}`, { headers }));

beforeAll(buildConsole);

describe.each([
  "/",
  "/new",
  "/s/0199",
  "/s/0199/review",
  "/p",
  "/p/new",
  "/p/0199",
  "/u",
  "/failed",
  "/system",
  "/sign-in",
])("%s", (path) => {
  test("is a page that runs nothing inline, evaluates nothing, and loads from here alone", async () => {
    const reply = await get(path);
    expect(reply.status).toBe(200);
    expect(reply.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(reply.headers.get("cache-control")).toBe("no-cache");
    expect(reply.headers.get("referrer-policy")).toBe("no-referrer");
    const policy = reply.headers.get("content-security-policy") ?? "";
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toMatch(/unsafe|https?:|\*/);
  });
});

test("scripts and styles have their hash in their name, and are cached for a year", async () => {
  const page = await (await get("/")).text();
  const assets = [...page.matchAll(/(?:src|href)="(\/[^"]+\.(js|css))"/g)];
  expect(assets.length).toBeGreaterThan(1);
  for (const [, path = "", type] of assets) {
    const reply = await get(path);
    expect(reply.headers.get("content-type")).toStartWith(type === "js" ? "text/javascript" : "text/css");
    expect(reply.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
  }
});

test("a worker's name stays the same, so that it is revalidated", async () => {
  expect((await get("/console/highlight.worker.js")).headers.get("cache-control")).toBe("no-cache");
});

test("what the console does not have is an error of the API, and no page", async () => {
  for (const path of ["/console/nothing.js", "/console/..%2f..%2fpackage.json", "/console/.built-from"]) {
    const reply = await get(path);
    expect([path, reply.status]).toEqual([path, 404]);
    expect(reply.headers.get("content-type")).toContain("application/json");
  }
});
