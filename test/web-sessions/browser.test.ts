import { afterAll, beforeAll, expect, test } from "bun:test";
import { count } from "drizzle-orm";
import type { Browser } from "playwright-core";
import type { Database } from "../../src/db/client.ts";
import { session } from "../../src/db/tables.ts";
import { openBrowser } from "../harness/browser.ts";
import { describeEmbedded } from "../harness/databases.ts";
import { findChromium, NO_CHROMIUM } from "../harness/machine.ts";
import { unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import { serveLocal } from "./fixture.ts";

const TIMEOUT_MS = 60_000;

if (findChromium())
  describeEmbedded("the cookie in a browser, beside a page of another port of localhost", inBrowser);
else unavailable({ name: "the cookie of a web session in a browser", reason: NO_CHROMIUM });

function inBrowser(database: () => Database) {
  let browser: Browser;
  const html = () => new Response("<title>Page</title>", { headers: { "content-type": "text/html" } });
  const neighbour = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: html });
  beforeAll(async () => {
    browser = await openBrowser();
  }, TIMEOUT_MS);
  afterAll(async () => {
    await browser?.close();
    await neighbour.stop(true);
  });

  test(
    "attack: the browser sends it, and the page can neither read nor write, with nor without its token",
    async () => {
      await using server = await serveLocal(database());
      const own = server.url.replace("127.0.0.1", "localhost");
      const context = await browser.newContext();
      const signIn = await context.request.post(`${own}/auth/local`, {
        data: { code: server.issuer.issueSignInCode() },
        headers: { origin: own },
      });
      expect(signIn.status()).toBe(200);
      /** Of every request to the service, from whichever page. */
      const replies: string[] = [];
      context.on("response", (reply) => {
        const { origin, pathname } = new URL(reply.url());
        if (origin === own) replies.push(`${reply.request().method()} ${pathname} ${reply.status()}`);
      });

      // The control: a page of the service, as it is served, reads and writes.
      const ownPage = await context.newPage();
      await ownPage.route(`${own}/own`, (route) => route.fulfill({ contentType: "text/html", body: "" }));
      await ownPage.goto(`${own}/own`);
      const { csrf_token } = await ownPage.evaluate<{ csrf_token: string }>(
        `fetch("/auth/session").then((reply) => reply.json())`,
      );
      const written = `{ method: "POST", body: ${JSON.stringify(
        JSON.stringify({ repo: "owner/name", target_branch: "main", messages: "Do it" }),
      )}, credentials: "include", headers: { "content-type": "application/json", "x-csrf-token": "${csrf_token}" } }`;
      const write = (origin: string, more: string) =>
        `fetch("${origin}/sessions/with-prompt", { ...${written}, ${more} }).then((reply) => reply.status, () => "failed")`;
      expect(await ownPage.evaluate<number>(write("", ""))).toBe(200);
      const sessions = async () => (await database().orm.select({ n: count() }).from(session))[0]?.n;
      expect(await sessions()).toBe(1);

      const page = await context.newPage();
      await page.goto(neighbour.url.href.replace("127.0.0.1", "localhost"));
      expect(await page.evaluate<string>("document.cookie")).toBe("");
      replies.length = 0;
      const read = (path: string) =>
        page.evaluate<{ status: number; body: Record<string, unknown> }>(
          `fetch("${own}${path}", { credentials: "include" }).then(async (reply) => ({ status: reply.status, body: await reply.json() }))`,
        );
      // 401 would say that no cookie came.
      for (const path of ["/me", "/sessions"])
        expect(await read(path)).toMatchObject({ status: 403, body: { code: "origin_not_allowed" } });
      expect((await read("/auth/session")).body).toMatchObject({ signed_in: false, csrf_token: null });
      expect(
        await page.evaluate<string>(`new Promise((resolve) => {
          const events = new EventSource("${own}/events", { withCredentials: true });
          events.onopen = () => resolve("opened");
          events.onerror = () => resolve("refused");
        })`),
      ).toBe("refused");
      expect(replies.splice(0)).toEqual([
        "GET /me 403",
        "GET /sessions 403",
        "GET /auth/session 200",
        "GET /events 403",
      ]);

      // The browser asks before it sends such a header; without it there is no token.
      expect(await page.evaluate<unknown>(write(own, ""))).toBe("failed");
      expect(
        await page.evaluate<unknown>(write(own, `headers: { "content-type": "application/json" }`)),
      ).toBe(403);
      // Sent, but the browser tells nobody how it was answered.
      await page.evaluate(write(own, `mode: "no-cors", headers: { "content-type": "text/plain" }`));
      await page.evaluate(`document.body.innerHTML =
        '<iframe name="hidden"></iframe><form method="post" action="${own}/auth/sign-out" target="hidden"></form>';
        document.forms[0].submit();`);
      await until(() => replies.some((one) => one.includes("sign-out")), { what: "the form to be answered" });
      expect(replies.filter((one) => one.startsWith("POST"))).toEqual([
        "POST /sessions/with-prompt 403",
        "POST /auth/sign-out 403",
      ]);
      expect(await sessions()).toBe(1);

      // Nor does it get a page to read by going there.
      const [followed] = await Promise.all([
        page.waitForResponse(`${own}/me`),
        page.evaluate(`location.href = "${own}/me"`),
      ]);
      expect(followed.status()).toBe(403);
      // The user has noticed nothing.
      expect(await ownPage.evaluate<number>(`fetch("/me").then((reply) => reply.status)`)).toBe(200);
    },
    TIMEOUT_MS,
  );
}
