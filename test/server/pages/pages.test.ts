import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Browser, Page } from "playwright-core";
import {
  type Backend,
  createDeployment,
  type Deployment,
  runProgram,
  startBackend,
} from "../../harness/backend.ts";
import { openBrowser } from "../../harness/browser.ts";
import { findChromium, NO_CHROMIUM } from "../../harness/machine.ts";
import { unavailable } from "../../harness/services.ts";

/** A folder for screenshots, for looking at them. */
const SCREENSHOTS = process.env["TEST_SCREENSHOTS"];
const PAGE_TIMEOUT_MS = 60_000;

if (findChromium()) describe("in a browser that reaches no other host", inBrowser);
else
  unavailable({
    name: "the pages in a browser",
    reason: NO_CHROMIUM,
  });

function inBrowser() {
  let deployment: Deployment;
  let backend: Backend;
  let browser: Browser;
  let token: string;
  let operations: { operationId: string; summary: string }[];
  beforeAll(async () => {
    deployment = await createDeployment("embedded");
    const env = { AUTH_MODE: "local" };
    [backend, browser] = await Promise.all([
      startBackend(deployment, { args: ["server"], env }),
      openBrowser(),
    ]);
    const made = await runProgram(["token", "--user", "alice"], {
      env: { ...deployment.env, ...env },
      cwd: deployment.folder,
    });
    token = made.stdout.trim().split("\n").at(-1) ?? "";
    const { paths } = (await backend.request("GET", "/openapi.json")).body;
    operations = Object.values(paths).flatMap((path) => Object.values(path as object));
  }, PAGE_TIMEOUT_MS);
  afterAll(async () => {
    await browser?.close();
    await backend?.[Symbol.asyncDispose]();
    await deployment?.[Symbol.asyncDispose]();
  });

  /** Opens a page, and keeps what must not happen on it. */
  async function open(path: string) {
    const page = await browser.newPage({ viewport: { width: 1280, height: 1000 } });
    page.setDefaultTimeout(20_000);
    const complaints: string[] = [];
    page.on("console", (one) => {
      if (one.type() === "error" || one.type() === "warning") complaints.push(one.text());
    });
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("request", (request) => {
      const { protocol, origin } = new URL(request.url());
      if (protocol !== "data:" && protocol !== "blob:" && origin !== backend.url)
        complaints.push(`asked ${request.url()}`);
    });
    await page.addInitScript(() =>
      // What a policy forbids without a word in the console, such as a call.
      addEventListener("securitypolicyviolation", (event) => {
        const { violatedDirective, blockedURI } = event as Event & Record<string, string>;
        console.error(`policy: ${violatedDirective} ${blockedURI}`);
      }),
    );
    await page.goto(backend.url + path);
    return { page, complaints };
  }
  const shoot = async (page: Page, name: string) => {
    if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/${name}.png` });
  };

  test(
    "Swagger UI lists every operation, takes a token and makes a call",
    async () => {
      const { page, complaints } = await open("/swagger-ui/");
      expect(page.url()).toBe(`${backend.url}/swagger-ui/`);
      await page.locator(".opblock").first().waitFor();
      await shoot(page, "swagger-ui");
      expect(await page.locator(".opblock").count()).toBe(operations.length);

      await page.getByRole("button", { name: "Authorize", exact: true }).first().click();
      const dialog = page.locator(".dialog-ux");
      const bearer = dialog.locator(".auth-container").filter({ hasText: "Bearer" }).first();
      await bearer.locator("input").fill(token);
      await shoot(page, "swagger-ui-authorize");
      await bearer.getByRole("button", { name: "Apply credentials" }).click();
      await dialog.getByRole("button", { name: "Close", exact: true }).first().click();

      const list = page.locator("#operations-Sessions-handlers_sessions_list");
      await list.locator(".opblock-summary-control").click();
      const called = page.waitForRequest((request) => request.url().startsWith(`${backend.url}/sessions`));
      await list.getByRole("button", { name: "Execute" }).click();
      expect((await called).url(), "examples of filters are not filled in").toBe(`${backend.url}/sessions`);
      const status = list.locator(".live-responses-table .response .response-col_status");
      await status.waitFor();
      expect(await status.textContent()).toStartWith("200");
      expect(await list.locator(".live-responses-table").textContent()).toContain('"sessions": []');
      await list.scrollIntoViewIfNeeded();
      await shoot(page, "swagger-ui-called");
      expect(complaints).toEqual([]);
      await page.close();
    },
    PAGE_TIMEOUT_MS,
  );

  test(
    "RapiDoc lists every operation, takes a token and makes a call",
    async () => {
      const { page, complaints } = await open("/rapidoc");
      expect(page.url()).toBe(`${backend.url}/rapidoc/`);
      await page.locator(".nav-bar-path").first().waitFor();
      await shoot(page, "rapidoc");
      for (const { summary } of operations)
        expect(await page.locator(".nav-bar-path", { hasText: summary }).count(), summary).toBeGreaterThan(0);

      const bearer = page.locator("#auth tr").filter({ hasText: "Bearer" }).first();
      await bearer.locator("input").fill(token);
      await bearer.getByRole("button", { name: "SET" }).click();
      await shoot(page, "rapidoc-authorize");

      await page.locator('.nav-bar-path[data-content-id="get-/sessions"]').click();
      const section = page.locator('.expanded-endpoint-body[id="get-/sessions"]');
      const called = page.waitForRequest((request) => request.url().startsWith(`${backend.url}/sessions`));
      await section.getByRole("button", { name: "TRY" }).click();
      expect((await called).url(), "examples of filters are not filled in").toBe(`${backend.url}/sessions`);
      const status = section.locator(".response-message");
      await status.waitFor();
      expect(await status.textContent()).toContain("200");
      await shoot(page, "rapidoc-called");
      expect(complaints).toEqual([]);
      await page.close();
    },
    PAGE_TIMEOUT_MS,
  );
}
