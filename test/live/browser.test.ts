import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Browser } from "playwright-core";
import type { Database } from "../../src/db/client.ts";
import { read } from "../docs/guide.ts";
import { openBrowser } from "../harness/browser.ts";
import { describeEmbedded } from "../harness/databases.ts";
import { findChromium, NO_CHROMIUM } from "../harness/machine.ts";
import { unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import { agentEvents, agentIn, bearer, serveLive } from "./fixture.ts";

const TIMEOUT_MS = 60_000;

if (findChromium()) describeEmbedded("EventSource in a browser, on a page of another origin", inBrowser);
else
  unavailable({
    name: "EventSource in a browser",
    reason: NO_CHROMIUM,
  });

function inBrowser(database: () => Database) {
  let browser: Browser;
  const pages = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => html("<title>UI</title>") });
  const html = (text: string) => new Response(text, { headers: { "content-type": "text/html" } });
  beforeAll(async () => {
    browser = await openBrowser();
  }, TIMEOUT_MS);
  afterAll(async () => {
    await browser?.close();
    await pages.stop(true);
  });
  const { running } = agentIn(database);
  const open = async () => {
    const page = await browser.newPage();
    await page.goto(pages.url.href);
    return page;
  };

  test(
    "the code of docs/QUICK_REFERENCE.md gets every message once, in order, however often its stream ends",
    async () => {
      await using server = await serveLive(database());
      const { sessionId, append } = await running();
      const [, code = ""] = /^```js\n(.*?)^```$/ms.exec(await read("docs/QUICK_REFERENCE.md")) ?? [];
      const page = await open();
      const requested: string[] = [];
      page.on("request", (request) => requested.push(request.url()));
      // Each of its tokens, and so each of its streams, lasts for less than a second.
      const token = bearer("alice", 700).authorization.slice("Bearer ".length);
      const options = JSON.stringify({ url: server.url, path: `/sessions/${sessionId}/events` });
      await page.addScriptTag({ content: code });
      await page.evaluate(`window.seen = [];
        follow({ ...${options}, token: async () => "${token}",
          onEvent: (type, data) => type === "message" && seen.push(data.seq) }).catch((error) => seen.push(String(error)));
        0`);
      const streams = () => requested.filter((one) => one.includes("/events?")).length;
      let sent = 0;
      while (streams() < 4) {
        await append(agentEvents(sent + 1, 2));
        sent += 2;
        const all = Array.from({ length: sent }, (_, index) => index + 1);
        await until(async () => Bun.deepEquals(await page.evaluate("seen"), all), {
          what: `${sent} messages on the page`,
        });
        const before = streams();
        await until(() => streams() > before, { what: "another stream" });
      }
      expect(requested.filter((one) => one.includes(token))).toEqual([]);
      await page.close();
    },
    TIMEOUT_MS,
  );

  test(
    "an EventSource that comes back with its used ticket is refused, and closes",
    async () => {
      await using server = await serveLive(database());
      const page = await open();
      const reply = await fetch(`${server.url}/events/ticket`, {
        method: "POST",
        headers: bearer("alice", 2_000),
      });
      const { ticket } = (await reply.json()) as { ticket: string };
      const statuses: number[] = [];
      page.on("response", (one) => one.url().includes("/events?") && statuses.push(one.status()));
      await page.evaluate(`window.source = new EventSource("${server.url}/events?ticket=${ticket}")`);
      await until(() => page.evaluate("source.readyState === EventSource.CLOSED"), { what: "the end" });
      expect(statuses).toEqual([200, 401]);
      await page.close();
    },
    TIMEOUT_MS,
  );
}
