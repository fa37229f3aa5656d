import type { Page } from "puppeteer-core";
import { openFirefox } from "../harness/browser.ts";
import { openService, type ServiceOptions, tellRefusals } from "./service.ts";

const PAGE_TIMEOUT_MS = 20_000;
const SIZE = { width: 1440, height: 900 };

export type FirefoxFixture = Awaited<ReturnType<typeof openInFirefox>>;

/** The service, with the web console, and Firefox. Close it in afterAll. */
export async function openInFirefox(options: ServiceOptions = {}) {
  // Nobody is there to look at animations; that a page asks for less motion is Chromium's tests' to show, too.
  const prefs = { "ui.prefersReducedMotion": 1 };
  const [service, browser] = await Promise.all([openService(options), openFirefox({ prefs })]);
  /** Of all pages: errors of scripts, what they print as an error, and what their policy refused. Must be empty. */
  const complaints: string[] = [];

  const watch = async (page: Page): Promise<void> => {
    page.setDefaultTimeout(PAGE_TIMEOUT_MS);
    page.on("pageerror", (error) => complaints.push(error instanceof Error ? error.message : String(error)));
    page.on("console", (one) => {
      if (one.type() === "error") complaints.push(one.text());
    });
    page.on("dialog", (dialog) => {
      complaints.push(`a script ran: ${dialog.message()}`);
      void dialog.dismiss();
    });
    await page.evaluateOnNewDocument(tellRefusals);
  };

  return {
    browser,
    complaints,
    service,
    /** A page of the one browser, which shares what others have stored. */
    async open(path: string): Promise<Page> {
      const page = await browser.newPage();
      await watch(page);
      await page.setViewport(SIZE);
      await page.goto(service.url + path);
      return page;
    },
    async [Symbol.asyncDispose]() {
      await browser.close();
      await service[Symbol.asyncDispose]();
    },
  };
}
