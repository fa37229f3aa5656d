import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { BrowserContext, Page } from "playwright-core";
import { findChromium, NO_CHROMIUM } from "../harness/machine.ts";
import { openOidcProvider } from "../harness/oidc-provider.ts";
import { unavailable } from "../harness/services.ts";
import { until } from "../harness/until.ts";
import { signedInAs } from "../web-sessions/oidc-fixture.ts";
import { inspect, OPEN_TIMEOUT_MS } from "./fixture.ts";
import { type ForgeConsole, openForgeConsole } from "./forge-fixture.ts";

const TIMEOUT_MS = 60_000;
/** Renewed when a quarter of them is left. */
const SHORT_S = 4;
const LONG_S = 300;
const AGENT =
  "echo x >> file.txt; git add file.txt; git -c user.name=a -c user.email=a@example.com commit -qm work";

if (findChromium()) describe("the console with an identity provider", inBrowser);
else unavailable({ name: "the console with an identity provider", reason: NO_CHROMIUM });

function inBrowser() {
  let provider: Awaited<ReturnType<typeof openOidcProvider>>;
  let forge: ForgeConsole;
  let on: ForgeConsole["on"];

  beforeAll(async () => {
    provider = await openOidcProvider();
    // Of a git host: paths of the machine are not for users of an identity provider.
    const env = { ...provider.env, LOCAL_REPOSITORIES: "" };
    forge = await openForgeConsole({ files: { "README.md": "# Test\n" }, agent: AGENT, env });
    on = forge.on;
  }, OPEN_TIMEOUT_MS);
  afterAll(async () => {
    await forge?.[Symbol.asyncDispose]();
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
  /** The same person by a program of their own, whose tokens need no renewal. */
  const elsewhere = async (name: string) => {
    provider.setLifetime(LONG_S);
    const browser = await signedInAs(name, on.url);
    return {
      async submit(content: string): Promise<string> {
        const body = { repo: forge.host.repo, target_branch: "main", messages: [{ content }] };
        const reply = await browser.send("POST", "/sessions/with-prompt", { body });
        expect([reply.status, reply.body.code]).toEqual([200, undefined]);
        return reply.body.sessionId;
      },
      async ended(id: string): Promise<void> {
        const isOver = async () => {
          const { body } = await browser.send("GET", `/sessions/${id}`);
          return body.session.uiStatus.startsWith("NeedsReview");
        };
        await until(isOver, { what: "the end of the session's work", timeoutMs: TIMEOUT_MS });
      },
    };
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
      const program = await elsewhere("ada");
      provider.setLifetime(SHORT_S);
      const page = await open("/new");
      await way(page).waitFor();
      expect(await inspect(page, "sign-in")).toEqual([]);
      await way(page).click();
      await enter(page, "ada");
      expect(page.url()).toBe(`${home()}/new`);
      await page.getByLabel("What shall be done?").fill("A draft");

      const refused: string[] = [];
      page.context().on("response", (reply) => {
        if (reply.status() === 401) refused.push(reply.url());
      });
      const inbox = await open("/", page.context());
      await menu(inbox, "ada").waitFor();
      // The pages alone ask for something.
      const before = provider.requests.refreshed;
      await until(() => provider.requests.refreshed >= before + 2, {
        what: "two renewals of the token",
        timeoutMs: TIMEOUT_MS,
      });
      await program.submit("Made elsewhere");
      await inbox.getByText("Made elsewhere").first().waitFor();
      expect(refused).toEqual([]);
      expect(await page.getByLabel("What shall be done?").inputValue()).toBe("A draft");
      expect(provider.requests.refused).toBe(0);

      await signOut(page, "ada", "Sign out");
      await way(inbox).waitFor();
      // The provider asks again who it is.
      await way(page).click();
      await page.getByLabel("User").waitFor();
    },
    TIMEOUT_MS,
  );

  test(
    "links to a session and to a file of its review lead there after the sign-in",
    async () => {
      const program = await elsewhere("dee");
      const id = await program.submit("Make it");
      await program.ended(id);
      await forge.host.showBranches(forge.gitea.branches);
      const session = await signedIn(`/s/${id}`, "dee");
      expect(session.url()).toBe(`${home()}/s/${id}`);
      await session.getByRole("textbox", { name: "Follow-up" }).waitFor();
      const file = `/s/${id}/review?file=file.txt`;
      const review = await signedIn(file, "dee");
      expect(review.url()).toBe(home() + file);
    },
    TIMEOUT_MS,
  );

  test(
    "a session that the provider has ended: the page leads to the sign-in, and nothing that was written is lost",
    async () => {
      const id = await (await elsewhere("bob")).submit("Make it");
      await (await elsewhere("bob")).submit("Never opened");
      const pages = [
        { path: "/new", box: (page: Page) => page.getByLabel("What shall be done?") },
        { path: `/s/${id}`, box: (page: Page) => page.getByRole("textbox", { name: "Follow-up" }) },
      ];
      provider.setLifetime(SHORT_S);
      const opened = await Promise.all(
        pages.map(async (one) => ({ ...one, page: await signedIn(one.path, "bob") })),
      );
      for (const { page, box } of opened) {
        await box(page).fill("Not sent yet");
        await until(async () => /^\(\d+\) /.test(await page.title()), { what: "a title that counts" });
      }
      await provider.revokeAll();
      // Nobody touches the pages.
      for (const { page, path, box } of opened) {
        await way(page).waitFor();
        expect(page.url()).toBe(home() + path);
        expect(await page.title()).toBe("Sign in · prompt-backend");
        await way(page).click();
        await page.getByLabel("User").or(menu(page, "bob")).first().waitFor();
        if (await page.getByLabel("User").isVisible()) await enter(page, "bob");
        await box(page).waitFor();
        expect(page.url()).toBe(home() + path);
        expect(await box(page).inputValue()).toBe("Not sent yet");
      }
    },
    TIMEOUT_MS,
  );

  test(
    "signing out everywhere ends the other browser, too, but not what it is at the provider",
    async () => {
      provider.setLifetime(LONG_S);
      const [page, other] = [await signedIn("/", "eve"), await signedIn("/", "eve")];
      await signOut(page, "eve", "Sign out everywhere");
      await other.reload();
      await way(other).waitFor();
      // The provider knows the other browser still, and asks this one.
      await way(other).click();
      await menu(other, "eve").waitFor();
      await way(page).click();
      await page.getByLabel("User").waitFor();
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
