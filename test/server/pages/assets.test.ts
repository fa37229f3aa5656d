import { describe, expect, test } from "bun:test";
import { makeApp } from "../../harness/app.ts";

const app = makeApp();
const get = (path: string, headers: Record<string, string> = {}) =>
  app.handle(new Request(`http://localhost${path}`, { headers }));

test.each([
  ["/swagger-ui", "/swagger-ui/"],
  ["/rapidoc", "/rapidoc/"],
])("%s redirects to %s", async (from, to) => {
  const reply = await get(from);
  expect(reply.status).toBe(302);
  expect(reply.headers.get("location")).toBe(to);
});

describe.each(["/swagger-ui/", "/rapidoc/"])("%s", (page) => {
  const assetsOf = (html: string) =>
    [...html.matchAll(/(?:src|href)="([^":]+)"/g)].map(([, name]) => new URL(name ?? "", `http://x${page}`));

  test("only runs its own scripts, and is revalidated each time", async () => {
    const reply = await get(page);
    expect(reply.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(reply.headers.get("cache-control")).toBe("no-cache");
    const policy = reply.headers.get("content-security-policy") ?? "";
    expect(policy).toContain("default-src 'none'; script-src 'self';");
    expect(policy).toContain("connect-src 'self'");
    expect(policy).not.toMatch(/unsafe-eval|https?:|\*/);
    const html = await reply.text();
    expect(html).not.toMatch(/<script(?![^>]*src=)|\son\w+=|https?:/);
    for (const known of [reply.headers.get("etag") ?? "", "*"])
      expect((await get(page, { "if-none-match": known })).status).toBe(304);
  });

  test("its assets are served, and cached for a year under their hashed URL", async () => {
    const assets = assetsOf(await (await get(page)).text());
    expect(assets.length).toBeGreaterThan(1);
    for (const { pathname, search } of assets) {
      const reply = await get(pathname + search);
      expect(reply.status, pathname).toBe(200);
      expect(reply.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
      expect(reply.headers.get("content-type")).toMatch(/^text\/(css|javascript); charset=utf-8$/);
      const etag = reply.headers.get("etag") ?? "";
      expect(search).toBe(`?${etag.slice(1, -1)}`);
      for (const known of [etag, `W/${etag}`, `"other", ${etag}`]) {
        const again = await get(pathname + search, { "if-none-match": known });
        expect(again.status).toBe(304);
        expect(await again.text()).toBe("");
      }
      // Under a name that another version's page gave it.
      for (const other of ["", "?other"])
        expect((await get(pathname + other)).headers.get("cache-control")).toBe("no-cache");
    }
  });
});

test("the pages are not in the document, and the generator's own page is not served", async () => {
  const { paths } = (await (await get("/openapi.json")).json()) as { paths: object };
  for (const path of Object.keys(paths)) expect(path).not.toMatch(/^\/($|swagger|rapidoc|openapi)/);
  for (const path of ["/openapi", "/openapi.page", "/openapi.raw", "/swagger"])
    expect((await get(path)).status).toBe(404);
});
