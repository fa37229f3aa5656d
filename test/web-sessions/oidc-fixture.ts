import { createVerifier } from "../../src/auth/verify.ts";
import { readConfig } from "../../src/config/config.ts";
import type { Database } from "../../src/db/client.ts";
import { openOidcProvider } from "../harness/oidc-provider.ts";
import { serveLive } from "../live/fixture.ts";
import { openPage } from "./fixture.ts";

type Provider = Awaited<ReturnType<typeof openOidcProvider>>;

/** Judges this provider's tokens. @param now of its clock, in ms since the epoch. */
export const verifierOf = (provider: Provider, now = Date.now) =>
  createVerifier({ config: readConfig(provider.env).auth, dataDir: "/nonexistent", now });

/** A service whose browsers sign in with this provider. */
export async function serveOidc(
  database: Database,
  provider: Provider,
  appOptions: Parameters<typeof serveLive>[2] = {},
) {
  let clock = 0;
  const verifier = verifierOf(provider, () => Date.now() + clock);
  const server = await serveLive(database, {}, { verifier, env: provider.env, ...appOptions });
  return {
    ...server,
    /** Moves the service's clock for tokens: those of less time expire. */
    later: (ms: number) => {
      clock += ms;
    },
  };
}

/** Both, with a provider of their own. */
export async function serveWithProvider(
  database: Database,
  appOptions: Parameters<typeof serveLive>[2] = {},
) {
  const provider = await openOidcProvider();
  const server = await serveOidc(database, provider, appOptions);
  return {
    ...server,
    provider,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await provider[Symbol.asyncDispose]();
    },
  };
}

/** A browser: its page of the service, and its cookies at the provider. */
export function openBrowser(url: string) {
  const page = openPage(url);
  const atProvider = openPage("http://provider.invalid");
  /** Follows the provider from its authorization address to the address that it sends the browser back to. */
  async function visitProvider(address: string, form: Record<string, string>): Promise<string> {
    for (let next = address, hops = 0; hops < 10; hops += 1) {
      if (next.startsWith(`${url}/auth/callback`)) return next;
      const isForm = new URL(next).pathname.startsWith("/interaction/");
      const cookie = atProvider.cookie();
      const reply = await fetch(next, {
        redirect: "manual",
        headers: { cookie },
        ...(isForm && { method: "POST", body: new URLSearchParams(form) }),
      });
      for (const line of reply.headers.getSetCookie()) {
        const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
        if (value === "") atProvider.cookies.delete(name);
        else atProvider.cookies.set(name, value);
      }
      const location = reply.headers.get("location");
      if (location === null) throw new Error(`${next} answered ${reply.status}: ${await reply.text()}`);
      next = new URL(location, next).href;
    }
    throw new Error("the provider leads nowhere");
  }
  /** The address at the provider that a sign-in begins with. */
  async function begin(returnTo?: string): Promise<string> {
    const query = returnTo === undefined ? "" : `?return_to=${encodeURIComponent(returnTo)}`;
    const { status, headers } = await page.send("GET", `/auth/sign-in${query}`);
    if (status !== 302) throw new Error(`GET /auth/sign-in answered ${status}`);
    return headers.get("location") ?? "";
  }
  /** Opens an address of the service. @returns where it leads to. */
  async function open(address: string): Promise<string | null> {
    const { headers } = await page.send("GET", address.slice(url.length));
    return headers.get("location");
  }
  return {
    ...page,
    begin,
    visitProvider,
    open,
    /** The whole way. @returns where it leads to. */
    async signIn(user: string, returnTo?: string) {
      const to = await open(await visitProvider(await begin(returnTo), { user }));
      await page.session();
      return to;
    },
  };
}

/** A browser that is signed in. */
export async function signedInAs(user: string, url: string) {
  const browser = openBrowser(url);
  const to = await browser.signIn(user);
  if (to !== "/") throw new Error(`the sign-in led to ${to}`);
  return browser;
}
