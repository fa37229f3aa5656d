import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { BrowserContext, Page } from "playwright-core";
import { findChromium, NO_CHROMIUM } from "../harness/machine.ts";
import { openOidcProvider } from "../harness/oidc-provider.ts";
import { unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import { type ConsoleFixture, inspect, OPEN_TIMEOUT_MS, openConsole } from "./fixture.ts";

const TIMEOUT_MS = 60_000;
/** Renewed when a quarter of them is left. */
const SHORT_S = 4;

if (findChromium()) describe("the console with an identity provider", inBrowser);
else unavailable({ name: "the console with an identity provider", reason: NO_CHROMIUM });

function inBrowser() {
  let provider: Awaited<ReturnType<typeof openOidcProvider>>;
  let on: ConsoleFixture;

  beforeAll(async () => {
    provider = await openOidcProvider();
    on = await openConsole({ env: { ...provider.env, LOCAL_REPOSITORIES: "" } });
  }, OPEN_TIMEOUT_MS);
  afterAll(async () => {
    await on?.[Symbol.asyncDispose]();
    await provider?.[Symbol.asyncDispose]();
  }, TIMEOUT_MS);

  /** At another host than the provider's, so that browsers take it for another site. */
  const home = () => on.url.replace("127.0.0.1", "localhost");
  const open = async (path: string, context?: BrowserContext): Promise<Page> => {
    const page = await on.open("/sign-in", context && { context });
    await page.goto(home() + path);
    return page;
  };
  const way = (page: Page) => page.getByRole("link", { name: "Sign in with your organization" });
  const menu = (page: Page, name: string) =>
    page.getByRole("button", { name: `Menu of ${name} of the provider` });
  const enter = async (page: Page, name: string) => {
    await page.getByLabel("User").fill(name);
    await page.getByRole("button", { name: "Sign in" }).click();
    await menu(page, name).waitFor();
  };
  const signedIn = async (path: string, name: string) => {
    const page = await open(path);
    await way(page).click();
    await enter(page, name);
    return page;
  };
  const signOut = async (page: Page, name: string, how: string) => {
    await menu(page, name).click();
    await page.getByRole("menuitem", { name: how, exact: true }).click();
    const ends = page.getByRole("button", { name: "Sign out" });
    await ends.or(way(page)).first().waitFor();
    // The provider may ask.
    if (await ends.isVisible()) await ends.click();
    await way(page).waitFor();
  };

  test(
    "its form leads back to the page that was wanted; its token is renewed unseen; signing out ends its session, in all tabs",
    async () => {
      provider.setLifetime(SHORT_S);
      const page = await open("/new");
      await way(page).waitFor();
      expect(await inspect(page, "sign-in")).toEqual([]);
      await way(page).click();
      await enter(page, "ada");
      expect(page.url()).toBe(`${home()}/new`);

      await page.getByLabel("What shall be done?").fill("A draft");
      const me = () => page.evaluate(async () => (await fetch("/me")).status);
      await until(async () => (await me()) === 200 && provider.requests.refreshed >= 2, {
        what: "two renewals of the token",
      });
      expect(await page.getByLabel("What shall be done?").inputValue()).toBe("A draft");
      expect(provider.requests.refused).toBe(0);

      const other = await open("/", page.context());
      await menu(other, "ada").waitFor();
      await signOut(page, "ada", "Sign out");
      await way(other).waitFor();
      // The provider asks again who it is.
      await way(page).click();
      await page.getByLabel("User").waitFor();
    },
    TIMEOUT_MS,
  );

  test(
    "a session that the provider has ended: the page leads to the sign-in, and nothing that was written is lost",
    async () => {
      provider.setLifetime(SHORT_S);
      const page = await signedIn("/new", "bob");
      await page.getByLabel("What shall be done?").fill("Not sent yet");
      await provider.revokeAll();
      // Nobody touches the page.
      await way(page).waitFor();
      expect(page.url()).toBe(`${home()}/new`);
      await way(page).click();
      await page.getByLabel("User").or(menu(page, "bob")).first().waitFor();
      if (await page.getByLabel("User").isVisible()) await enter(page, "bob");
      expect(page.url()).toBe(`${home()}/new`);
      expect(await page.getByLabel("What shall be done?").inputValue()).toBe("Not sent yet");
    },
    TIMEOUT_MS,
  );

  test(
    "signing out everywhere ends the other browser, too",
    async () => {
      provider.setLifetime(300);
      const [page, other] = [await signedIn("/", "eve"), await signedIn("/", "eve")];
      await signOut(page, "eve", "Sign out everywhere");
      await other.reload();
      await way(other).waitFor();
    },
    TIMEOUT_MS,
  );

  test(
    "what went wrong is told in words: a sign-in that was given up, a provider that is away",
    async () => {
      const page = await open("/");
      await way(page).click();
      await page.getByRole("button", { name: "Deny" }).click();
      await page.getByRole("alert").getByText("cancelled").waitFor();
      expect(await inspect(page, "sign-in-failed")).toEqual([]);

      await provider.down();
      try {
        // Its address is known for a while; a new start of the service asks for it.
        await on.restart();
        await page.goto(home());
        await way(page).click();
        await page.getByRole("alert").getByText("cannot be reached").waitFor();
      } finally {
        await provider.up();
      }
      // For some seconds the service does not ask again for the provider's keys.
      const form = page.getByLabel("User");
      const ended = menu(page, "dan").or(page.getByRole("alert")).first();
      const signsIn = async () => {
        await page.goto(home());
        await way(page).click();
        await form.or(ended).first().waitFor();
        if (await form.isVisible()) {
          await form.fill("dan");
          await page.getByRole("button", { name: "Sign in" }).click();
        }
        await ended.waitFor();
        return menu(page, "dan").isVisible();
      };
      await until(signsIn, { what: "a sign-in with the provider that is back", timeoutMs: TIMEOUT_MS });
    },
    TIMEOUT_MS,
  );

  test("no page has run what others wrote, nor asked another host", () => {
    expect(on.complaints).toEqual([]);
  });
}
