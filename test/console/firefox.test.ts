import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { KeyInput, Page } from "puppeteer-core";
import { findFirefox, NO_FIREFOX } from "../harness/machine.ts";
import { unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import { type FirefoxFixture, openInFirefox } from "./firefox-fixture.ts";
import { OPEN_TIMEOUT_MS } from "./fixture.ts";
import { day, EVIL_MODEL, seedUsage } from "./usage-fixture.ts";

const TIMEOUT_MS = 90_000;
const STEP_TIMEOUT_MS = 20_000;
const SESSION = /\/s\/[0-9a-f-]{36}$/;

if (findFirefox()) describe("in Firefox", inBrowser);
else unavailable({ name: "the web console in Firefox", reason: NO_FIREFOX });

function inBrowser() {
  let on: FirefoxFixture;
  beforeAll(async () => {
    // Without arguments, as `npm start` does it: that prints the link, and has the demo and its repository.
    on = await openInFirefox({ env: { AUTH_MODE: "local", AGENT: "demo" }, args: [] });
  }, OPEN_TIMEOUT_MS);
  afterAll(() => on?.[Symbol.asyncDispose](), TIMEOUT_MS);

  const signIn = async (): Promise<Page> => {
    const [, link = ""] = await on.service.backend.process.waitForLine(/(http:\/\/\S+\/#code=\S+)/, {
      timeoutMs: STEP_TIMEOUT_MS,
    });
    return on.open(link.slice(on.service.url.length));
  };
  const startSession = async (page: Page, prompt: string): Promise<void> => {
    await press(page, "n");
    await focused(page, "#repo");
    await page.keyboard.type(`${on.service.deployment.dataDir}/example`);
    await press(page, "Tab", "Tab");
    await focused(page, "#prompt");
    await page.keyboard.type(prompt);
    await send(page);
    await isAt(page, SESSION);
  };

  test(
    "a person signs in, starts a session, follows it in two tabs, comments on a line, and signs out",
    async () => {
      const page = await signIn();
      await shows(page, "No sessions yet");
      expect(page.url()).not.toContain("code");
      // It is signed in as well, and from now on nobody touches it: what it shows comes by the stream.
      const other = await on.open("/");
      await shows(other, "No sessions yet");
      await page.bringToFront();

      await startSession(page, "Write down the first line");
      const session = new URL(page.url()).pathname;
      await shows(page, "Done: your prompt is in PROMPTS.md");
      await has(page, ".outcome[data-status=Completed]");
      await has(page, ".session-head [role=status]", "Ready for review");
      await has(other, ".inbox-row", "Write down the first line");
      await has(other, ".inbox-row", "Ready for review");

      // What one tab asks and is answered, the other one shows.
      await other.goto(on.service.url + session);
      await has(other, ".outcome[data-status=Completed]");
      await page.bringToFront();
      await press(page, "r");
      await focused(page, "#follow-up");
      await page.keyboard.type("Write down the second line");
      await send(page);
      for (const one of [page, other]) {
        await has(one, ".prompt-text", "Write down the second line");
        await count(one, ".outcome[data-status=Completed]", 2);
      }
      await focused(page, "#follow-up");

      await press(page, "Escape", "v");
      await isAt(page, /\/review$/);
      await has(page, ".diff-list", "second line");
      // The worker has told its colours: its script was allowed.
      await has(page, ".diff-list [class*=token-]");
      await press(page, "n");
      await focused(page, ".line-number");
      await press(page, "c");
      await focused(page, ".comment-form textarea");
      await page.keyboard.type("Is it the <b>first</b>?");
      await send(page);
      await has(page, "article.comment", "Is it the <b>first</b>?");
      // The form is gone, and the keyboard is where it was.
      await focused(page, ".line-number");

      await press(page, "g", "i");
      await isAt(page, /\/$/);
      await startSession(page, "Another matter");
      await has(page, ".outcome[data-status=Completed]");

      await press(page, "Escape", "g", "i");
      await has(page, ".inbox-row", "Write down the first line");
      await press(page, "j");
      await focused(page, ".inbox-title", "Another matter");
      await press(page, "j");
      await focused(page, ".inbox-title", "first line");
      await press(page, "k");
      await focused(page, ".inbox-title", "Another matter");
      await press(page, "?");
      await has(page, "[role=dialog]", "Next or previous session");
      await focused(page, "[role=dialog], [role=dialog] *");
      await press(page, "Escape");
      await focused(page, ".inbox-title", "Another matter");
      await press(page, "/");
      await focused(page, ".inbox-search");
      await page.keyboard.type("first");
      await press(page, "Enter");
      await count(page, ".inbox-row", 1);
      await press(page, "j");
      await focused(page, ".inbox-title", "first line");
      await press(page, "Enter");
      await isAt(page, SESSION);
      expect(new URL(page.url()).pathname).toBe(session);

      await page.focus("button.user-menu");
      await press(page, "Enter");
      await has(page, "[role=menu]");
      await click(page, "[role=menuitemradio]", "Dark theme");
      await has(page, ":root[data-theme=dark]");
      await press(page, "Escape");
      await focused(page, "button.user-menu");
      await page.reload();
      await has(page, ":root[data-theme=dark]");
      await has(page, ".prompt-text", "Write down the second line");
      await count(page, ".problem, .toast", 0);

      // It asks for the stream next, since it is not the first any more: it need not wait for the stream to notice.
      await other.goto(on.service.url);
      await has(other, ".inbox-row", "Another matter");
      await page.bringToFront();
      await page.focus("button.user-menu");
      await press(page, "Enter");
      await click(page, "[role=menuitem]", "Sign out");
      await shows(page, "prompt-backend open");
      for (const one of [page, other]) await shows(one, "prompt-backend open");
      await page.goBack();
      await isAt(page, new RegExp(`${session}$`));
      await shows(page, "prompt-backend open");
      expect(on.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    "the days of the usage page are read by keyboard and pointer, and a period is chosen",
    async () => {
      await using of = await openInFirefox({ seed: seedUsage });
      const page = await of.open(`/u?from=${day(1)}&to=${day(5)}`);
      await has(page, ".usage-reading", "Jan 5, 2025");
      await page.focus("input[type=range]");
      await press(page, "Home", "ArrowRight", "ArrowRight", "ArrowRight");
      await has(page, ".usage-reading", "Jan 4, 2025 $2.55");
      const { x, y, width } = (await (await page.$("input[type=range]"))?.boundingBox()) ?? {
        ...{ x: 0, y: 0, width: 0 },
      };
      // A press takes the slider there, too: its ends are where Firefox has them.
      for (const [at, date] of [
        [0.01, "Jan 1"],
        [0.21, "Jan 2"],
        [0.79, "Jan 4"],
        [0.99, "Jan 5"],
      ] as const) {
        await page.mouse.move(x + at * width, y + 20);
        await page.mouse.down();
        await page.mouse.up();
        await has(page, ".usage-reading", `${date}, 2025`);
      }
      await click(page, "nav[aria-label='By what'] a", "Model");
      await has(page, ".usage-name", EVIL_MODEL.replace("\u202E", "⟨U+202E⟩"));
      await click(page, "nav[aria-label=Period] a", "7 days");
      await meets(page, "7 bars", `document.querySelector("input[type=range]")?.max === "6"`);
      await has(page, ".usage-budgets, section[aria-label=Budgets]", "No budget has a limit");
      expect(of.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    "a part of the page that was wanted while the service was away comes when it is back, though Firefox remembers the failure",
    async () => {
      await on.service.restart();
      const page = await signIn();
      await has(page, "button.user-menu");
      await on.service.restart(async () => {
        // A page that no test has opened before: of those, the browser has kept the script.
        await press(page, "g", "f");
        await has(page, "#main", "Loading the page");
      });
      await has(page, "#main h1", "Dead letters");
      expect(on.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );
}

const meets = (page: Page, what: string, expression: string) =>
  until(() => page.evaluate(expression), { what, timeoutMs: STEP_TIMEOUT_MS });
const all = (selector: string) => `[...document.querySelectorAll(${JSON.stringify(selector)})]`;
const withText = (text: string) => `(one) => one.textContent.includes(${JSON.stringify(text)})`;
const has = (page: Page, selector: string, text = "") =>
  meets(page, `${selector} with “${text}”`, `${all(selector)}.some(${withText(text)})`);
const count = (page: Page, selector: string, wanted: number) =>
  meets(page, `${wanted} of ${selector}`, `${all(selector)}.length === ${wanted}`);
/** The keyboard is there, and not lost with what it was at before. */
const focused = (page: Page, selector: string, text = "") =>
  meets(
    page,
    `the keyboard to be at ${selector} with “${text}”`,
    `${all(selector)}.filter(${withText(text)}).includes(document.activeElement)`,
  );
const shows = (page: Page, text: string) => has(page, "#app", text);
const isAt = (page: Page, path: RegExp) =>
  until(() => path.test(page.url()), {
    what: `the address to match ${path}`,
    timeoutMs: STEP_TIMEOUT_MS,
  });
const press = async (page: Page, ...keys: KeyInput[]): Promise<void> => {
  for (const key of keys) await page.keyboard.press(key);
};
const send = async (page: Page): Promise<void> => {
  await page.keyboard.down("Control");
  await page.keyboard.press("Enter");
  await page.keyboard.up("Control");
};
/** By the mouse. */
const click = async (page: Page, selector: string, text: string): Promise<void> => {
  await has(page, selector, text);
  const found = await page.evaluateHandle(`${all(selector)}.find(${withText(text)})`);
  await found.asElement()?.click();
};
