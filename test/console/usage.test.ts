import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Page } from "playwright-core";
import { findChromium, NO_CHROMIUM } from "../harness/machine.ts";
import { unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import { type ConsoleFixture, inspect, OPEN_TIMEOUT_MS, openConsole } from "./fixture.ts";
import { keyboardOf } from "./keyboard.ts";
import { day, EVIL_MODEL, SESSION, SHOP, seedUsage } from "./usage-fixture.ts";

const TIMEOUT_MS = 120_000;
const CLOSE_TIMEOUT_MS = 20_000;
const FIVE_DAYS = `/u?from=${day(1)}&to=${day(5)}`;
const BROKEN = { code: "internal_error", msg: "Broken here", success: false };

if (findChromium()) describe("the page of usage and budgets", inBrowser);
else unavailable({ name: "usage and budgets in the web console", reason: NO_CHROMIUM });

function inBrowser() {
  let on: ConsoleFixture;
  beforeAll(async () => {
    on = await openConsole({
      seed: seedUsage,
      env: {
        ...{ BUDGET_USD_PER_USER_DAY: "20", BUDGET_USD_PER_USER_MONTH: "4", BUDGET_USD_PER_SESSION: "50" },
        ...{ BUDGET_USD_PER_DEPLOYMENT_DAY: "3" },
      },
    });
  }, OPEN_TIMEOUT_MS);
  afterAll(() => on?.[Symbol.asyncDispose](), CLOSE_TIMEOUT_MS);

  const region = (page: Page, name: string) => page.getByRole("region", { name, exact: true });
  const fact = (page: Page, name: string) =>
    region(page, "Together")
      .locator("div", { has: page.getByText(name, { exact: true }) })
      .locator("dd");
  const rows = (page: Page) => region(page, "By what").getByRole("listitem");
  /** Each with what it is of, and how much. */
  const named = async (page: Page) =>
    await Promise.all(
      (await rows(page).all()).map(async (row) => [
        await row.locator(".usage-name").textContent(),
        await row.locator("strong").textContent(),
      ]),
    );
  const shows = (page: Page, wanted: readonly (readonly [string, string])[]) =>
    until(async () => JSON.stringify(await named(page)) === JSON.stringify(wanted), {
      what: `the bars ${JSON.stringify(wanted)}`,
    }).catch(async () => expect(await named(page)).toEqual(wanted.map((one) => [...one])));
  const group = (page: Page, name: string) =>
    page.getByRole("navigation", { name: "By what" }).getByRole("link", { name }).click();

  test(
    "days are bars that the keyboard and a pointer lead through, and a table; estimates are marked",
    async () => {
      const page = await on.open(FIVE_DAYS);
      const keyboard = keyboardOf(page);
      expect(await fact(page, "Cost").textContent()).toBe("≈ $4.30");
      expect(await fact(page, "Runs").textContent()).toBe("3");
      expect(await fact(page, "Model calls").textContent()).toBe("5");
      expect(await fact(page, "Tokens in").textContent()).toBe("20,000");
      expect(await fact(page, "Of these from a cache").textContent()).toBe("15,000");
      await page.getByText("estimated of 1 call:").waitFor();

      // A bar a day, in proportion; beside them the day that is read, and the lines of the scale.
      const bars = region(page, "By day").locator("svg rect:not(.usage-cursor)");
      const heights = await bars.evaluateAll((all) => all.map((one) => Number(one.getAttribute("height"))));
      expect(heights.map((one) => Math.round(one * 10))).toEqual([350, 0, 1, 510, 0]);

      await keyboard.tabTo("slider", "Cost by day");
      const read = () => page.getByRole("slider").getAttribute("aria-valuetext");
      expect(await read()).toStartWith("Jan 5, 2025: $0.00");
      await keyboard.press("Home");
      expect(await read()).toBe(
        "Jan 1, 2025: ≈ $1.75 · 1 run · 2 calls · 8K tokens in · 400 out · 1 estimated",
      );
      await page.locator(".usage-reading").getByText("Jan 1, 2025").waitFor();
      await keyboard.press("ArrowRight", "ArrowRight");
      expect(await read()).toStartWith("Jan 3, 2025: $0.004 · 1 run");
      // Keys of the page work from it, since it is no text.
      await page.keyboard.press("?");
      const keys = page.getByRole("dialog", { name: "Keys" });
      await keys.getByText("Usage and budgets").waitFor();
      await page.keyboard.press("Escape");
      await keys.waitFor({ state: "detached" });

      const { x, y, width } = (await page.getByRole("slider").boundingBox()) ?? { x: 0, y: 0, width: 0 };
      for (const [at, date] of [
        [0.01, "Jan 1"],
        [0.19, "Jan 1"],
        [0.21, "Jan 2"],
        [0.79, "Jan 4"],
        [0.99, "Jan 5"],
      ] as const) {
        await page.mouse.move(x + at * width, y + 20);
        await page.locator(".usage-reading").getByText(date).waitFor();
        // A finger presses without moving over it before.
        await page.mouse.down();
        await page.mouse.up();
        expect(await read()).toStartWith(`${date}, 2025`);
      }

      await page.getByText("As a table").click();
      const table = page.getByRole("table");
      expect(await table.getByRole("row").count()).toBe(4);
      expect(await table.getByRole("row").nth(1).getByRole("cell").allTextContents()).toEqual([
        "$2.55",
        "1",
        "8K",
        "400",
      ]);
      expect(await inspect(page, "usage")).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    "by repository, model, agent and session, the dearest first; the address keeps what is chosen over a reload",
    async () => {
      const page = await on.open(FIVE_DAYS);
      await shows(page, [
        ["git.example/acme/api", "$2.50"],
        ["git.example/acme/shop", "≈ $1.80"],
      ]);
      expect(await rows(page).first().getByTitle("https://git.example/acme/api").count()).toBe(1);
      await group(page, "Model");
      await shows(page, [
        ["claude-opus-5", "$2.50"],
        ["claude-sonnet-5", "≈ $1.75"],
        ["claude-haiku-5", "$0.05"],
        // Text, and what nobody would see of it is written out.
        [EVIL_MODEL.replace("\u202E", "⟨U+202E⟩"), "$0.004"],
      ]);
      expect(await inspect(page, "usage-models")).toEqual([]);
      await group(page, "Agent");
      await shows(page, [
        ["claude", "≈ $4.25"],
        ["Titles of sessions", "$0.05"],
        ["codex", "$0.004"],
      ]);
      await page
        .getByRole("navigation", { name: "What is plotted" })
        .getByRole("link", { name: "Runs" })
        .click();
      await shows(page, [
        ["claude", "2 runs"],
        ["codex", "1 run"],
        ["Titles of sessions", "0 runs"],
      ]);
      await page.getByRole("slider", { name: "Runs by day" }).waitFor();
      expect(page.url()).toContain("by=agent&measure=runs");
      await page.reload();
      await shows(page, [
        ["claude", "2 runs"],
        ["codex", "1 run"],
        ["Titles of sessions", "0 runs"],
      ]);
      await group(page, "Session");
      await rows(page).getByRole("link", { name: "Mend the cart" }).click();
      await page.waitForURL(`**/s/${SESSION}`);
    },
    TIMEOUT_MS,
  );

  test(
    "more than one page of the API is read to its end, so that the dearest come first; what is too much is said to be cut",
    async () => {
      const page = await on.open("/new");
      const isGrouped = (url: URL) =>
        url.pathname === "/usage" && url.searchParams.get("group_by") === "model";
      await page.route(isGrouped, (route) =>
        route.continue({ url: route.request().url().replace("limit=500", "limit=1") }),
      );
      await page.goto(`${on.url}${FIVE_DAYS}&by=model`);
      await shows(page, [
        ["claude-opus-5", "$2.50"],
        ["claude-sonnet-5", "≈ $1.75"],
        ["claude-haiku-5", "$0.05"],
        [EVIL_MODEL.replace("\u202E", "⟨U+202E⟩"), "$0.004"],
      ]);

      let replies = 0;
      await page.route(isGrouped, async (route) => {
        const { usage, total } = await (
          await route.fetch({
            url: route
              .request()
              .url()
              .replace(/&cursor=[^&]*/, ""),
          })
        ).json();
        replies += 1;
        await route.fulfill({
          json: {
            ...{ total, next_cursor: "more" },
            usage: Array.from({ length: 500 }, (_, at) => ({ ...usage[0], key: `model ${replies}.${at}` })),
          },
        });
      });
      await page.reload();
      await region(page, "By what")
        .getByText("it shows the first 5,000 in the order of their names")
        .waitFor();
      expect(replies).toBe(10);
      await page.getByRole("button", { name: "Show more of 5,000" }).waitFor();
      expect(await inspect(page, "usage-cut")).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    "an admin sees all users; who is none does not, whatever the address says, and is not even asked for",
    async () => {
      const page = await on.open(FIVE_DAYS);
      await page.getByRole("link", { name: "All users" }).click();
      await group(page, "User");
      await shows(page, [
        ["ann", "$40.00"],
        ["local", "≈ $4.30"],
      ]);
      const address = page.url();
      expect(address).toContain("by=user");
      // Of one user it would be one bar.
      await page.getByRole("link", { name: "Mine", exact: true }).click();
      await shows(page, [
        ["git.example/acme/api", "$2.50"],
        ["git.example/acme/shop", "≈ $1.80"],
      ]);

      await page.route("**/auth/session", async (route) => {
        const reply = await route.fetch();
        const user = { id: "ann", name: "Ann", email: null, roles: [] };
        await route.fulfill({ json: { ...(await reply.json()), auth_mode: "local", user } });
      });
      const asked: string[] = [];
      page.on("request", (request) => {
        if (request.url().includes("scope=all&") && request.resourceType() === "fetch")
          asked.push(request.url());
      });
      await page.goto(address);
      await page.getByRole("heading", { name: "What all users have used is for admins" }).waitFor();
      expect(await page.getByRole("link", { name: "All users" }).count()).toBe(0);
      expect(asked).toEqual([]);
      await page.getByRole("link", { name: "Show mine" }).click();
      await region(page, "Together").waitFor();
    },
    TIMEOUT_MS,
  );

  test(
    "the period is chosen by keyboard alone; an address with what cannot be meant shows the last 30 days",
    async () => {
      const page = await on.open("/");
      const keyboard = keyboardOf(page);
      await page.getByRole("link", { name: "Usage" }).waitFor();
      await page.keyboard.press("g");
      await page.keyboard.press("b");
      await page.waitForURL(({ pathname }) => pathname === "/u");
      await keyboard.use("link", "90 days");
      await page.waitForURL(({ searchParams }) => searchParams.get("days") === "90");
      const days = () => page.getByRole("slider").getAttribute("max");
      await until(async () => (await days()) === "89", { what: "90 bars" });
      expect(await inspect(page, "usage-90-days")).toEqual([]);
      await page.getByLabel("From", { exact: true }).fill(day(3));
      await page.getByLabel("To", { exact: true }).fill(day(4));
      await keyboard.use("button", "Show");
      await page.waitForURL(({ searchParams }) => searchParams.get("to") === day(4));
      await until(async () => (await days()) === "1", { what: "two bars" });
      expect(await fact(page, "Cost").textContent()).toBe("$2.55");

      // The API's own words.
      await page.getByLabel("From", { exact: true }).fill(day(5));
      await page.getByLabel("From", { exact: true }).press("Enter");
      await page.getByRole("alert").getByText("must not be after").waitFor();
      expect(await page.getByLabel("From", { exact: true }).inputValue()).toBe(day(5));

      await page.goto(`${on.url}/u?days=8&from=2026-02-30&to=2026-03-01&by=moon&measure=joy&scope=us`);
      await until(async () => (await days()) === "29", { what: "30 bars" });
      await page.getByRole("slider", { name: "Cost by day" }).waitFor();
    },
    TIMEOUT_MS,
  );

  test(
    "budgets say what is spent, kept and left, and when they begin anew where the reader is",
    async () => {
      const context = await on.browser.newContext({
        ...{ locale: "de-DE", timezoneId: "Asia/Kolkata", viewport: { width: 1440, height: 900 } },
        reducedMotion: "reduce",
      });
      const page = await on.open("/u", { context });
      const budgets = region(page, "Budgets");
      await budgets.getByText("$16.39 left").waitFor();
      const [myDay = "", myMonth = "", all = ""] = await budgets.getByRole("listitem").allTextContents();
      expect(myDay).toStartWith("You, today$16.39 left$3.21 of $20.00 spent, $0.40 kept for calls under way");
      expect(myMonth).toStartWith("You, this monthNearly used up$0.39 left");
      expect(all).toStartWith("All users, todayUsed up$0.00 left$3.21 of $3.00 spent");
      const told = (await on.backend.request("GET", "/budgets")).body.budgets;
      const anew = new Intl.DateTimeFormat("de-DE", {
        ...{ dateStyle: "medium", timeStyle: "short", timeZone: "Asia/Kolkata" },
      }).format(new Date(told[1].resets_at));
      expect(anew).toContain("05:30");
      expect(myMonth).toEndWith(`begins anew ${anew}`);
      const meter = page.getByRole("meter", { name: "You, today" });
      expect(await meter.evaluate((one) => [one.getAttribute("max"), one.getAttribute("value")])).toEqual([
        "20",
        "3.61",
      ]);
      expect(await inspect(page, "usage-budgets")).toEqual([]);
      await context.close();
    },
    TIMEOUT_MS,
  );

  test(
    "without limits it says how to set them",
    async () => {
      const page = await on.open("/");
      await page.route("**/budgets", (route) => route.fulfill({ json: { budgets: [] } }));
      await page.goto(`${on.url}/u`);
      await region(page, "Budgets").getByText("BUDGET_USD_PER_USER_DAY").waitFor();
      expect(await page.getByRole("meter").count()).toBe(0);
      expect(await inspect(page, "usage-no-limits")).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    "what is shown is saved as CSV, as the API gives it",
    async () => {
      const page = await on.open(`${FIVE_DAYS}&by=model`);
      const [download] = await Promise.all([
        page.waitForEvent("download"),
        page.getByRole("button", { name: "Download CSV by model" }).press("Enter"),
      ]);
      expect(download.suggestedFilename()).toBe(`usage-by-model-${day(1)}-${day(5)}.csv`);
      const text = await Bun.file(await download.path()).text();
      const reply = await fetch(`${on.url}/usage?from=${day(1)}&to=${day(5)}&group_by=model`, {
        headers: { accept: "text/csv" },
      });
      expect(text).toBe(await reply.text());
      expect(text.split("\r\n")[0]).toStartWith("model,runs,");

      await page.route("**/usage?*", (route) => route.fulfill({ status: 500, json: BROKEN }));
      await page.getByRole("button", { name: "Download CSV by model" }).press("Enter");
      await page.getByText("The table was not downloaded").first().waitFor();
    },
    TIMEOUT_MS,
  );

  test(
    "who has used nothing reads why; what cannot be read is asked for again; one period's figures are not shown under another's name",
    async () => {
      const page = await on.open("/u?from=2020-01-01&to=2020-01-31");
      await page.getByRole("heading", { name: "No model was called in these days" }).waitFor();
      await page.getByRole("main").getByRole("link", { name: "Start a session" }).waitFor();
      expect(await page.getByRole("slider").count()).toBe(0);
      expect(await inspect(page, "usage-nothing")).toEqual([]);

      const fails = (status: number) =>
        page.route("**/usage?*", (route) => route.fulfill({ status, json: BROKEN }));
      await fails(500);
      await page.goto(on.url + FIVE_DAYS);
      await page.getByRole("alert").getByText("Broken here").waitFor();
      expect(await inspect(page, "usage-broken")).toEqual([]);
      await page.unroute("**/usage?*");
      await page.getByRole("button", { name: "Try again" }).click();
      await region(page, "Together").waitFor();
      await shows(page, [
        ["git.example/acme/api", "$2.50"],
        ["git.example/acme/shop", "≈ $1.80"],
      ]);

      // Of another period nothing is known: what is shown for the last one must not stand under the new one's name.
      await fails(503);
      await page.getByRole("link", { name: "7 days" }).click();
      await page.getByRole("alert").getByText("Broken here").waitFor();
      expect(await region(page, "Together").count()).toBe(0);
      await page.unroute("**/usage?*");
      await region(page, "Together").waitFor();
      expect(await page.getByRole("alert").count()).toBe(0);
    },
    TIMEOUT_MS,
  );

  test(
    "budgets are read again while the page is open; figures that could not be are called what they were",
    async () => {
      const page = await on.open("/new");
      await page.clock.install();
      await page.goto(on.url + FIVE_DAYS);
      await region(page, "Together").waitFor();
      await region(page, "Budgets").getByText("$16.39 left").waitFor();
      const [budget] = (await on.backend.request("GET", "/budgets")).body.budgets;
      await page.route("**/budgets", (route) =>
        route.fulfill({ json: { budgets: [{ ...budget, left_usd: 7 }] } }),
      );
      await page.clock.fastForward("00:16");
      await region(page, "Budgets").getByText("$7.00 left").waitFor();
      await page.route("**/usage?*", (route) => route.fulfill({ status: 500, json: BROKEN }));
      await page.clock.fastForward("02:00");
      const alert = page.getByRole("alert").filter({ hasText: "this is what it was" });
      await alert.waitFor();
      expect(await fact(page, "Cost").textContent()).toBe("≈ $4.30");
      // Cause: the bars were taken away for it.
      await page
        .getByRole("alert")
        .filter({ hasText: "The usage by repository could not be read" })
        .waitFor();
      expect(await rows(page).count()).toBe(2);
      await page.unroute("**/usage?*");
      await alert.getByRole("button", { name: "Try again" }).click();
      await alert.waitFor({ state: "detached" });
    },
    TIMEOUT_MS,
  );

  test(
    "a session's details say what its model calls have cost, and what its budget has left",
    async () => {
      const page = await on.open(`/s/${SESSION}`);
      await page.getByRole("button", { name: "Details" }).click();
      const details = page.locator("#session-details > div", { hasText: "Model calls" });
      await details.getByText("≈ $5.01 · 2 runs · 4 calls").waitFor();
      await details.getByText("claude-haiku-5").waitFor();
      await details.getByText("$44.59 left").waitFor();
      expect(await inspect(page, "usage-session")).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test("no page has run what others wrote, nor asked another host", () => {
    expect(SHOP).toContain("git.example");
    expect(on.complaints).toEqual([]);
  });
}
