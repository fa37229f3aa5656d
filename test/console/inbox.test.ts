import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Page } from "playwright-core";
import { findChromium, NO_CHROMIUM } from "../harness/machine.ts";
import { unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import { type ConsoleFixture, inspect, OPEN_TIMEOUT_MS, openConsole } from "./fixture.ts";

const PAGE_TIMEOUT_MS = 60_000;
setDefaultTimeout(PAGE_TIMEOUT_MS);

if (findChromium()) describe("the inbox and new sessions", inBrowser);
else unavailable({ name: "the console's inbox", reason: NO_CHROMIUM });

function inBrowser() {
  let console: ConsoleFixture;
  let repo = "";
  beforeAll(async () => {
    console = await openConsole();
    const { repositories } = (await console.backend.request("GET", "/repositories")).body;
    repo = repositories[0].repo;
  }, OPEN_TIMEOUT_MS);
  afterAll(() => console?.[Symbol.asyncDispose]());
  afterEach(() => expect(console.complaints.splice(0)).toEqual([]));

  const rows = (page: Page) => page.locator(".inbox-row");
  const row = (page: Page, title: string) => rows(page).filter({ hasText: title });
  const focused = (page: Page) => page.evaluate<string>("document.activeElement?.textContent ?? ''");
  const archived = async (id: string) => (await console.backend.session(id)).uiStatus === "Archived";
  const finished = async (text: string) => {
    const { sessionId } = await console.backend.submit(repo, text);
    await console.backend.waitForStatus(sessionId, ["NeedsReview", "NeedsReviewIpReturned"]);
    return sessionId;
  };

  test("first run: says that only the demo answers, and starts a demo session with one click", async () => {
    const page = await console.open("/");
    await page.getByText("No sessions yet").waitFor();
    expect(await page.locator(".first-run pre").textContent()).toContain("ANTHROPIC_API_KEY");
    expect(await inspect(page, "first-run")).toEqual([]);
    await page.getByRole("button", { name: "Start a demo session" }).click();
    await page.waitForURL(/\/s\/[0-9a-f-]{36}$/);
    await page.context().close();
  });

  test("a session is started by keyboard alone; its draft survives a reload", async () => {
    const page = await console.open("/");
    await row(page, "haiku").waitFor();
    await page.keyboard.press("n");
    await page.waitForURL("**/new");
    await page.locator("#repo:focus").waitFor();
    await page.keyboard.type(repo);
    await page.keyboard.press("Escape");
    await page.locator("#prompt").focus();
    await page.keyboard.type("Name the keys in KEYS.md");
    await page.reload();
    expect(await page.locator("#prompt").inputValue()).toBe("Name the keys in KEYS.md");
    expect(await page.locator("#repo").inputValue()).toBe(repo);
    expect(await inspect(page, "new")).toEqual([]);
    await page.locator("#prompt").focus();
    await page.keyboard.press("Control+Enter");
    await page.waitForURL(/\/s\/[0-9a-f-]{36}$/);
    await page.goto(`${console.url}/new`);
    expect(await page.locator("#prompt").inputValue()).toBe("");
    await page.context().close();
  });

  test("who leaves the page while a session is started stays where they went; a text written meanwhile is kept", async () => {
    const page = await console.open("/new");
    const { promise: sent, resolve: isSent } = Promise.withResolvers<void>();
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    await page.route("**/sessions/with-prompt", async (route) => {
      isSent();
      await gate;
      await route.continue();
    });
    await page.locator("#repo").fill(repo);
    await page.keyboard.press("Escape");
    await page.locator("#prompt").fill("Sent by a slow network");
    await page.keyboard.press("Control+Enter");
    await sent;
    await page.locator("#prompt").fill("The next one");
    await page.getByRole("link", { name: "Inbox", exact: true }).click();
    await page.getByRole("heading", { name: "Inbox" }).waitFor();
    open();
    await row(page, "Sent by a slow network").waitFor();
    expect(new URL(page.url()).pathname).toBe("/");
    await page.getByRole("link", { name: "New", exact: true }).click();
    expect(await page.locator("#prompt").inputValue()).toBe("The next one");
    await page.context().close();
  });

  test("the code of a link leaves the address, also of somebody who is signed in; a refused one names the request", async () => {
    const page = await console.open("/#code=not-needed");
    await page.getByRole("heading", { name: "Inbox" }).waitFor();
    await until(() => !page.url().includes("code"), { what: "the code to leave the address" });
    await page.route("**/auth/session", (route) =>
      route.fulfill({ json: { signed_in: false, user: null, csrf_token: null, sign_in: "local" } }),
    );
    await page.goto("about:blank");
    await page.goto(`${console.url}/#code=wrong`);
    await page.getByRole("alert").getByText("Request").waitFor();
    expect(page.url()).not.toContain("wrong");
    await page.context().close();
  });

  test("what is wrong with a repository stands beside its field, and nothing is lost", async () => {
    const page = await console.open("/new");
    await page.locator("#repo").fill("not a repository");
    await page.keyboard.press("Escape");
    await page.locator("#prompt").fill("Keep this text");
    await page.keyboard.press("Control+Enter");
    await page.locator("#repo[aria-invalid=true]").waitFor();
    expect(await page.locator("#repo-hint").textContent()).toMatch(/repo/i);
    expect(await page.locator("#prompt").inputValue()).toBe("Keep this text");
    await page.context().close();
  });

  test("j, k, /, Enter, e: the list is used by keyboard, and archiving is undone", async () => {
    const id = await finished("Archive me by keyboard");
    await finished("Leave me by keyboard");
    const page = await console.open("/?q=keyboard");
    await row(page, "Archive me by keyboard").waitFor();
    // The newest one is the first.
    for (const [key, title] of [
      ["j", "Leave me"],
      ["j", "Archive me"],
      ["k", "Leave me"],
    ] as const) {
      await page.keyboard.press(key);
      await until(async () => (await focused(page)).includes(title), { what: `${key} to reach “${title}”` });
    }
    await page.keyboard.press("/");
    await page.keyboard.press("Control+a");
    await page.keyboard.type("archive keyboard");
    await page.keyboard.press("Enter");
    await until(async () => (await rows(page).count()) === 1, { what: "the search to leave one session" });
    expect(page.url()).toContain("q=archive");
    await page.keyboard.press("j");
    expect(await focused(page)).toContain("Archive me by keyboard");
    await page.keyboard.press("e");
    await page.getByText("Nothing matches").waitFor();
    await until(() => archived(id), { what: "the session to be archived" });
    await page.getByRole("button", { name: "Undo" }).click();
    await row(page, "Archive me by keyboard").waitFor();
    await until(async () => !(await archived(id)), { what: "the session to be back" });
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await page.waitForURL(`**/s/${id}`);
    await page.context().close();
  });

  test("a new session, its end and its unread mark appear by themselves, in every browser and in the title", async () => {
    const [one, other] = [await console.open("/"), await console.open("/?show=review")];
    await one.locator(".inbox-row").first().waitFor();
    await one.evaluate("document.title"); // The title of before is another one.
    const id = await finished("Appear in both browsers");
    for (const page of [one, other]) {
      await row(page, "Appear in both browsers").and(page.locator("[data-unread]")).waitFor();
      expect(await page.title()).toMatch(/^\(\d+\) Inbox · prompt-backend$/);
    }
    await console.backend.request("PUT", `/sessions/${id}/seen`);
    for (const page of [one, other])
      await row(page, "Appear in both browsers").and(page.locator(":not([data-unread])")).waitFor();
    for (const page of [one, other]) await page.context().close();
  });

  test("tabs share one stream; when its tab is closed another one goes on, and nothing is missed", async () => {
    const first = await console.open("/");
    await rows(first).first().waitFor();
    const context = first.context();
    /** Of other tabs than the first, which opens its own once it has shown something. */
    let streams = 0;
    context.on("request", (request) => {
      if (new URL(request.url()).pathname === "/events" && request.frame().page() !== first) streams += 1;
    });
    const second = await console.open("/", { context });
    await rows(second).first().waitFor();
    await finished("Heard by the tab that does not read");
    await row(second, "Heard by the tab that does not read").waitFor();
    expect(streams).toBe(0);
    await first.close();
    await finished("Heard after the reader was closed");
    await row(second, "Heard after the reader was closed").waitFor();
    expect(streams).toBe(1);
    await context.close();
  });

  test("a service that was killed and started again is noticed by nothing but what is new", async () => {
    const page = await console.open("/");
    await rows(page).first().waitFor();
    await console.restart();
    await finished("After the crash");
    await row(page, "After the crash").waitFor();
    expect(await page.getByRole("alert").count()).toBe(0);
    await page.context().close();
  });

  test("a key that is held down archives one session, not all that follow it", async () => {
    await finished("Older of those held");
    const id = await finished("Newer of those held");
    const page = await console.open("/?q=those%20held");
    await until(async () => (await rows(page).count()) === 2, { what: "both sessions" });
    await page.keyboard.press("j");
    await page.keyboard.down("e");
    await until(async () => (await focused(page)).includes("Older"), { what: "the next session" });
    await page.keyboard.down("e");
    await page.keyboard.up("e");
    await until(() => archived(id), { what: "the first to be archived" });
    await page.keyboard.press("u");
    await row(page, "Older").and(page.locator(":not([data-unread])")).waitFor();
    await page.context().close();
  });

  test("hovering a line tells what it cuts off and the exact time; its relative time is right at once", async () => {
    const title = `Hovered ${"a long way ".repeat(30)}`.trim();
    const id = await finished("Hovered");
    await console.backend.request("PUT", `/sessions/${id}`, { id, title });
    const page = await console.open("/new");
    await page.getByRole("heading", { level: 1 }).waitFor();
    // No time was shown for two hours.
    await page.clock.setFixedTime(Date.now() + 2 * 3_600_000);
    await page.getByRole("link", { name: "Inbox", exact: true }).click();
    const time = row(page, "Hovered").locator("time");
    await time.waitFor();
    await until(async () => /^[12] hr/.test((await time.textContent()) ?? ""), { what: "two hours" });
    await time.scrollIntoViewIfNeeded();
    const { x, y, width, height } = (await time.boundingBox()) ?? expect.unreachable();
    const hovered = await page.evaluate<string>(
      `document.elementFromPoint(${x + width / 2}, ${y + height / 2}).closest("[title]")?.title ?? ""`,
    );
    expect(hovered).toContain(title);
    expect(hovered).toContain((await time.getAttribute("title")) ?? expect.unreachable());
    await page.context().close();
  });

  test("sessions that cannot be read are told of beside those that can", async () => {
    await finished("One that can be read");
    const context = await console.browser.newContext();
    const refuse = { status: 400, json: { code: "X", msg: "This page is broken.", request_id: "req-of-it" } };
    await context.route(/\/events/, (route) => route.abort());
    await context.route(/\/sessions\?/, async (route) => {
      if (route.request().url().includes("cursor=")) return route.fulfill(refuse);
      const response = await route.fetch();
      return route.fulfill({ response, json: { ...(await response.json()), next_cursor: "more" } });
    });
    const page = await console.open("/", { context });
    await row(page, "One that can be read").waitFor();
    const alert = page.getByRole("alert");
    await alert.getByText("This page is broken.").waitFor();
    expect(await alert.textContent()).toContain("req-of-it");
    await context.close();
  });

  test("a browser that lets no site store anything shows the page all the same, live", async () => {
    const context = await console.browser.newContext();
    await context.addInitScript(`
      const refuse = () => { throw new DOMException("Access is denied for this document.", "SecurityError"); };
      for (const name of ["localStorage", "sessionStorage"]) Object.defineProperty(window, name, { get: refuse });
      window.BroadcastChannel = refuse;
      LockManager.prototype.request = async () => refuse();
    `);
    await finished("Read without any storage");
    const page = await console.open("/", { context });
    await row(page, "Read without any storage").waitFor();
    await finished("Heard without any storage");
    await row(page, "Heard without any storage").waitFor();
    await page.getByRole("button", { name: /^Menu of/ }).click();
    await page.getByRole("menuitemradio", { name: "Dark theme" }).click();
    expect(await page.evaluate("document.documentElement.dataset.theme")).toBe("dark");
    await context.close();
  });

  test("titles, repositories and branches are text", async () => {
    const hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'`{{7*7}}";
    await console.backend.request("POST", "/sessions", {
      repo: "https://example.com/<img-src=x-onerror=alert(3)>/x",
      target_branch: "main",
      messages: [{ content: hostile }],
    });
    const { sessionId } = await console.backend.submit(repo, hostile);
    await console.backend.request("PUT", `/sessions/${sessionId}`, { id: sessionId, title: hostile });
    const page = await console.open(`/?q=${encodeURIComponent("<img")}`);
    await row(page, "<script>alert(2)").first().waitFor();
    expect(await page.locator(".inbox-row img, .inbox-row script").count()).toBe(0);
    expect(await inspect(page, "inbox")).toEqual([]);
    await page.context().close();
  });

  test("the page is installable", async () => {
    const page = await console.open("/");
    await rows(page).first().waitFor();
    const devtools = await page.context().newCDPSession(page);
    const { installabilityErrors } = await devtools.send("Page.getInstallabilityErrors");
    // A context without storage is no place to install into.
    expect(installabilityErrors.filter(({ errorId }) => errorId !== "in-incognito")).toEqual([]);
    await page.context().close();
  });
}
