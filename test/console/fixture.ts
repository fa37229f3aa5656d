import { join } from "node:path";
import type { BrowserContext, Page } from "playwright-core";
import { openBrowser } from "../harness/browser.ts";
import { openService, type ServiceOptions, tellRefusals } from "./service.ts";

/** For beforeAll: the bundle, a database, a service and a browser. */
export const OPEN_TIMEOUT_MS = 90_000;
const PAGE_TIMEOUT_MS = 20_000;
/** A folder for screenshots, for looking at them. */
const SCREENSHOTS = process.env["TEST_SCREENSHOTS"];
const SIZES = { wide: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } } as const;
/** The narrowest screen on which nothing may need to be scrolled sideways. */
const NARROWEST = { width: 360, height: 640 };
const THEMES = ["light", "dark"] as const;
const AXE = join(import.meta.dir, "../../node_modules/axe-core/axe.min.js");
const WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

export type ConsoleFixture = Awaited<ReturnType<typeof openConsole>>;

/** For the service's environment: the agent `talker`, a script that asks, and that is told something while it works. */
export function talkerEnv(script: string): { AGENTS: string } {
  const agent = { name: "talker", title: "Talker", command: ["/bin/sh", "-c", script], protocol: "lines" };
  return { AGENTS: JSON.stringify([{ ...agent, modes: ["auto", "ask"], steering: true }]) };
}

/** The service, with the web console, and a real browser: Chromium. Close it in afterAll. */
export async function openConsole(options: ServiceOptions = {}) {
  const [service, browser] = await Promise.all([openService(options), openBrowser()]);
  /** Of all pages: what a browser complains about, and what the page asks of other hosts. Must be empty. */
  const complaints: string[] = [];

  /** Keeps what must not happen on a page. */
  const watch = async (page: Page): Promise<void> => {
    page.setDefaultTimeout(PAGE_TIMEOUT_MS);
    page.on("console", (one) => {
      // A request that fails is the page's to tell.
      if (one.type() === "error" && !/^Failed to load resource/.test(one.text())) complaints.push(one.text());
    });
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("dialog", (dialog) => {
      complaints.push(`a script ran: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on("request", (request) => {
      const { protocol, hostname } = new URL(request.url());
      if (protocol.startsWith("http") && !["127.0.0.1", "localhost"].includes(hostname))
        complaints.push(`asked ${request.url()}`);
    });
    await page.addInitScript(tellRefusals);
  };

  return {
    browser,
    complaints,
    deployment: service.deployment,
    restart: service.restart,
    get url() {
      return service.url;
    },
    get backend() {
      return service.backend;
    },
    /** A page of a browser of its own, without what others have stored, unless `context` is another page's. */
    async open(path: string, given: { context?: BrowserContext; phone?: boolean } = {}): Promise<Page> {
      const viewport = given.phone ? SIZES.phone : SIZES.wide;
      const context = given.context ?? (await browser.newContext({ viewport, reducedMotion: "reduce" }));
      const page = await context.newPage();
      await watch(page);
      await page.goto(service.url + path);
      return page;
    },
    async [Symbol.asyncDispose]() {
      await browser.close();
      await service[Symbol.asyncDispose]();
    },
  };
}

/**
 * Looks at a page as it is, wide and on a phone, in both themes; and for its width, on the narrowest screen too.
 * @param name of the screenshots, which are made if TEST_SCREENSHOTS names a folder.
 * @returns what axe-core finds, and where the page is wider than the screen; empty when all is well.
 */
export async function inspect(page: Page, name: string): Promise<string[]> {
  const problems: string[] = [];
  const source = await Bun.file(AXE).text();
  const before = page.viewportSize() ?? SIZES.wide;
  for (const [size, viewport] of Object.entries(SIZES))
    for (const colorScheme of THEMES) {
      await page.setViewportSize(viewport);
      await page.emulateMedia({ colorScheme });
      // As the inspector does it: the policy of the page forbids scripts that it does not serve.
      await page.evaluate(source);
      const { violations } = await page.evaluate<AxeResults>(
        `axe.run(document, { runOnly: ${JSON.stringify(WCAG)} })`,
      );
      for (const { id, nodes } of violations)
        for (const { html, failureSummary } of nodes)
          problems.push(`${name} ${size} ${colorScheme}: ${id}: ${html.slice(0, 200)} ${failureSummary}`);
      if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/${name}-${size}-${colorScheme}.png` });
    }
  for (const colorScheme of THEMES) {
    await page.emulateMedia({ colorScheme });
    for (const viewport of [SIZES.wide, SIZES.phone, NARROWEST]) {
      await page.setViewportSize(viewport);
      const excess = await page.evaluate<number>(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth",
      );
      if (excess > 0)
        problems.push(`${name} ${colorScheme}: ${excess} px wider than a screen of ${viewport.width} px`);
    }
  }
  await page.emulateMedia({ colorScheme: null });
  await page.setViewportSize(before);
  return problems;
}

interface AxeResults {
  violations: { id: string; nodes: { html: string; failureSummary: string }[] }[];
}
