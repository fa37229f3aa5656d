import type { Page } from "playwright-core";
import { expect } from "./expect.ts";
import type { Keycloak } from "./server.ts";
import { isSignedIn } from "./web-ui.ts";

/** The web UI: sign in, read, renew, reload, sign out. */
export async function signInByBrowser(page: Page, ui: { url: string }, keycloak: Keycloak): Promise<void> {
  const toLogin = async () => {
    // Its promise ends with the page.
    page.evaluate("oidc.loginAsync('/')").catch(() => undefined);
    await page.waitForURL((url) => url.origin === keycloak.url || url.pathname.includes("callback"));
    const { origin, search } = new URL(page.url());
    expect(
      "the web UI's request for openid, profile and email leads to Keycloak",
      [origin, origin === keycloak.url ? "" : search],
      [keycloak.url, ""],
    );
    expect("it shows its form", await page.locator("#password").count(), 1);
  };
  const me = async () => {
    const { name, email, roles } = (await page.evaluate("me()")) as Record<string, unknown>;
    return { name, email, roles };
  };
  const token = () => page.evaluate("oidc.tokens.accessTokenPayload.jti");
  const test = { name: "Test User", email: "test@localhost", roles: ["user"] };

  await page.goto(ui.url);
  expect("at first nobody is signed in", await isSignedIn(page), false);
  await toLogin();
  await page.fill("#username", "test");
  await page.fill("#password", keycloak.secrets.KEYCLOAK_TEST_USER_PASSWORD);
  await page.click("[type=submit]");
  await page.waitForURL((url) => url.pathname === "/authentication/callback");
  expect("the code becomes tokens in the browser", await isSignedIn(page), true);
  expect("GET /me from the web UI has name, e-mail and roles", await me(), test);
  const info = (await page.evaluate("oidc.userInfoAsync(true)")) as Record<string, unknown>;
  expect("so has Keycloak's user info", { ...test, name: info["name"], email: info["email"] }, test);
  expect("the published client lists sessions", await page.evaluate("api.handlersSessionsList()"), {
    sessions: [],
  });
  await page.goto(ui.url);
  expect("a reload keeps the sign-in", [await isSignedIn(page), await me()], [true, test]);
  const before = await token();
  await page.evaluate("oidc.renewTokensAsync()");
  expect(
    "the refresh token brings a new access token",
    [(await token()) !== before, await me()],
    [true, test],
  );
  const ended = page.waitForResponse((one) =>
    one.url().startsWith(`${keycloak.issuer}/protocol/openid-connect/logout`),
  );
  const back = page.waitForEvent("load");
  page.evaluate("oidc.logoutAsync('/')").catch(() => undefined);
  expect("Keycloak ends its session without a question", (await ended).status(), 302);
  await back;
  expect("and leads back to the web UI", page.url(), ui.url);
  expect("after signing out nobody is signed in", await isSignedIn(page), false);
  await toLogin();
}
