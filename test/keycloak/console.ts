import type { Page } from "playwright-core";
import { expect } from "./expect.ts";
import type { Keycloak } from "./server.ts";

const CLIENT_ID = "prompt-backend-console";
/** How long an access token of this test is valid, in seconds; a service that did not renew it would have none after that. */
const LIFESPAN_S = 5;

/** The web console: sign in from a page, come back to it, use the API by the cookie for longer than a token lasts, sign out. */
export async function signInToConsole(page: Page, url: string, keycloak: Keycloak): Promise<void> {
  const toForm = async () => {
    await page.getByRole("link", { name: "Sign in with your organization" }).click();
    await page.locator("#password").waitFor();
    expect("the console leads to Keycloak's form", new URL(page.url()).origin, keycloak.url);
  };
  const admin = await keycloak.admin();
  const [client] = await admin("GET", `/clients?clientId=${CLIENT_ID}`);
  const attributes = { ...client.attributes, "access.token.lifespan": String(LIFESPAN_S) };
  await admin("PUT", `/clients/${client.id}`, { ...client, attributes });
  await page.goto(`${url}/new`);
  await toForm();
  await page.fill("#username", "test");
  await page.fill("#password", keycloak.secrets.KEYCLOAK_TEST_USER_PASSWORD);
  await page.click("[type=submit]");
  await page.getByRole("combobox", { name: "Repository" }).waitFor();
  expect("signing in leads back to the page", page.url(), `${url}/new`);
  const email = await page.evaluate(async () => {
    const me = (await (await fetch("/me")).json()) as { email: string };
    return me.email;
  });
  expect("the API takes the console's cookie", email, "test@localhost");
  const statuses = await page.evaluate(
    async (until) => {
      const seen = new Set<number>();
      while (Date.now() < until) {
        seen.add((await fetch("/me")).status);
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
      return [...seen];
    },
    Date.now() + 2.5 * LIFESPAN_S * 1_000,
  );
  expect("its tokens are renewed by Keycloak before they expire", statuses, [200]);
  const name = await page.evaluate(async () => {
    const { user } = (await (await fetch("/auth/session")).json()) as { user: { name: string } };
    return user.name;
  });
  expect("the session says who is signed in", name, "Test User");

  await page.getByRole("button", { name: "Menu of Test User" }).click();
  await page.getByRole("menuitem", { name: "Sign out", exact: true }).click();
  await page.getByRole("link", { name: "Sign in with your organization" }).waitFor();
  const after = await page.evaluate(async () => (await fetch("/me")).status);
  expect("after signing out the cookie is worth nothing", after, 401);
  await toForm();
}
