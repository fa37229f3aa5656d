import type { Page } from "playwright-core";
import { expect } from "./expect.ts";
import type { Keycloak } from "./server.ts";

/** The web console: sign in from a page, come back to it, use the API by the cookie, sign out. */
export async function signInToConsole(page: Page, url: string, keycloak: Keycloak): Promise<void> {
  const toForm = async () => {
    await page.getByRole("link", { name: "Sign in with your organization" }).click();
    await page.locator("#password").waitFor();
    expect("the console leads to Keycloak's form", new URL(page.url()).origin, keycloak.url);
  };
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

  await page.getByRole("button", { name: "Menu of Test User" }).click();
  await page.getByRole("menuitem", { name: "Sign out", exact: true }).click();
  await page.getByRole("link", { name: "Sign in with your organization" }).waitFor();
  const after = await page.evaluate(async () => (await fetch("/me")).status);
  expect("after signing out the cookie is worth nothing", after, 401);
  await toForm();
}
