import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { webSession } from "../../src/db/web-session-tables.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { openPage, serveLocal } from "./fixture.ts";
import { openBrowser, serveWithProvider, signedInAs } from "./oidc-fixture.ts";

const EXPIRED = "/sign-in?error=sign_in_expired";
const FAILED = "/sign-in?error=sign_in_failed";

/** An address with other parameters; undefined removes one. */
function changed(address: string, parameters: Record<string, string | undefined>): string {
  const url = new URL(address);
  for (const [name, value] of Object.entries(parameters))
    if (value === undefined) url.searchParams.delete(name);
    else url.searchParams.set(name, value);
  return url.href;
}

describeEachDatabase("attacks on signing in with the identity provider", (database) => {
  const rowsOf = (user: string) =>
    database().orm.select().from(webSession).where(eq(webSession.userId, user));

  test("attack: nobody is signed in by a callback of another browser, or without the state of their own", async () => {
    await using server = await serveWithProvider(database());
    const [attacker, victim] = [openBrowser(server.url), openBrowser(server.url)];
    const back = await attacker.visitProvider(await attacker.begin(), { user: "attacker" });
    expect(await victim.open(back)).toBe(EXPIRED);
    // Also while the victim signs in.
    const own = new URL(await victim.begin()).searchParams.get("state") ?? "";
    expect(await victim.open(back)).toBe(EXPIRED);
    // With the state of the victim, the code is not the one of this sign-in (PKCE).
    expect(await victim.open(changed(back, { state: own }))).toBe(FAILED);
    const third = openBrowser(server.url);
    const good = await third.visitProvider(await third.begin(), { user: "third" });
    for (const state of [undefined, "", "0".repeat(43), own])
      expect([state, await third.open(changed(good, { state }))]).toEqual([state, EXPIRED]);
    expect(await third.open(`${good}&state=${own}`)).toBe(FAILED);
    for (const one of [victim, third]) expect((await one.session()).signed_in).toBe(false);
    expect([await rowsOf("attacker"), await rowsOf("third")]).toEqual([[], []]);
  });

  test("attack: a callback works once, also with the cookies of before", async () => {
    await using server = await serveWithProvider(database());
    const browser = openBrowser(server.url);
    const back = await browser.visitProvider(await browser.begin(), { user: "twice" });
    const cookie = browser.cookie();
    expect(await browser.open(back)).toBe("/");
    expect(await browser.open(back)).toBe(EXPIRED);
    const thief = openPage(server.url);
    const reply = await thief.send("GET", back.slice(server.url.length), { headers: { cookie } });
    expect(reply.headers.get("location")).toBe(FAILED);
    expect(thief.cookies.size).toBe(0);
    expect(await rowsOf("twice")).toHaveLength(1);
  });

  test("attack: an ID token with another nonce, a code of another verifier, and another issuer's reply are refused", async () => {
    await using server = await serveWithProvider(database());
    const forged: Record<string, string>[] = [{ nonce: "x".repeat(43) }, { code_challenge: "x".repeat(43) }];
    for (const parameters of forged) {
      const browser = openBrowser(server.url);
      const address = changed(await browser.begin(), parameters);
      const back = await browser.visitProvider(address, { user: "forged" });
      expect([parameters, await browser.open(back)]).toEqual([parameters, FAILED]);
    }
    for (const iss of [undefined, "https://evil.example", `${server.provider.url}/`]) {
      const browser = openBrowser(server.url);
      const back = await browser.visitProvider(await browser.begin(), { user: "forged" });
      expect([iss, await browser.open(changed(back, { iss }))]).toEqual([iss, FAILED]);
    }
    expect(await rowsOf("forged")).toEqual([]);
  });

  test("attack: an access token of another user than the ID token's signs nobody in", async () => {
    await using server = await serveWithProvider(database());
    server.provider.setSubject((user) => (user === "ida" ? "idb" : user));
    const browser = openBrowser(server.url);
    const back = await browser.visitProvider(await browser.begin(), { user: "ida" });
    expect(await browser.open(back)).toBe(FAILED);
    expect(browser.cookies.size).toBe(0);
    expect([...(await rowsOf("ida")), ...(await rowsOf("idb"))]).toEqual([]);
    // It is the difference that is refused.
    server.provider.setSubject((user) => user);
    expect(await openBrowser(server.url).signIn("ida")).toBe("/");
  });

  test("attack: what the provider says of an error is not repeated", async () => {
    await using server = await serveWithProvider(database());
    const denied = openBrowser(server.url);
    const back = await denied.visitProvider(await denied.begin(), { deny: "yes" });
    expect(back).toContain("hostile");
    const reply = await denied.send("GET", back.slice(server.url.length));
    expect([reply.headers.get("location"), reply.body]).toEqual(["/sign-in?error=access_denied", ""]);
    const hostile = openBrowser(server.url);
    const state = new URL(await hostile.begin()).searchParams.get("state") ?? "";
    const address = changed(`${server.url}/auth/callback`, {
      error: "<script>alert(1)</script>",
      error_description: "\r\nset-cookie: a=b",
      iss: server.provider.url,
      state,
    });
    expect(await hostile.open(address)).toBe(FAILED);
    expect(hostile.cookies.size).toBe(0);
  });

  test("attack: return_to leads to no other origin, and not back to a sign-in", async () => {
    await using server = await serveWithProvider(database());
    const browser = openBrowser(server.url);
    /** Another service of this host can change its cookies, where there is no https. */
    const signInWithPlanted = async (path: string) => {
      const back = await browser.visitProvider(await browser.begin(), { user: "ret" });
      for (const [name, value] of browser.cookies)
        if (name.includes("sign_in"))
          browser.cookies.set(name, `${value.split(".")[0]}.${Buffer.from(path).toString("base64url")}`);
      return browser.open(back);
    };
    const own = ["/", "/sessions/one", "/sessions/one?a=b&c=//evil.example#d", "/a/..%2f..%2fb"];
    for (const path of own) expect([path, await browser.signIn("ret", path)]).toEqual([path, path]);
    for (const path of [
      "",
      "evil.example",
      "//evil.example",
      "///evil.example",
      "/\\evil.example",
      "\\\\evil.example",
      "/a\\..\\..\\evil",
      "https://evil.example",
      "https:evil.example",
      "javascript:alert(1)",
      "/\t/evil.example",
      "\t//evil.example",
      "/\n/evil.example",
      "/a\r\nset-cookie: a=b",
      "/a\u0001",
      "/.//evil.example",
      "/..//evil.example",
      "/a/..//evil.example",
      "/%2e%2e//evil.example",
      "/auth/sign-in",
      "/./auth/sign-in",
      "/%2e/auth/sign-in",
      `/${"a".repeat(1_000)}`,
    ])
      for (const to of [await browser.signIn("ret", path), await signInWithPlanted(path)])
        expect([path, to]).toEqual([path, "/"]);
  });

  test("attack: each sign-in takes a new secret", async () => {
    await using server = await serveWithProvider(database());
    const browser = await signedInAs("fay", server.url);
    const before = browser.cookie();
    expect(await browser.signIn("fay")).toBe("/");
    expect(browser.cookies.size).toBe(1);
    expect(browser.cookie()).not.toBe(before);
  });

  test("attack: no sign-in begins where its cookie would cross a network unencrypted", async () => {
    await using server = await serveWithProvider(database());
    const { port } = new URL(server.url);
    for (const host of ["192.0.2.7", "service.example", "localhost.evil.example", "127.0.0.1.evil.example"]) {
      const reply = await openPage(server.url).send("GET", "/auth/sign-in", {
        headers: { host: `${host}:${port}` },
      });
      expect([host, reply.headers.get("location")]).toEqual([host, "/sign-in?error=sign_in_unencrypted"]);
      expect(reply.headers.getSetCookie()).toEqual([]);
    }
  });

  test("while the provider is away, its pages say so", async () => {
    await using server = await serveWithProvider(database());
    const begun = openBrowser(server.url);
    const back = await begun.visitProvider(await begun.begin(), { user: "gus" });
    await server.provider.down();
    expect(await begun.open(back)).toBe("/sign-in?error=identity_provider_unavailable");
    expect(await rowsOf("gus")).toEqual([]);
  });

  test("without OIDC_CLIENT_ID there is no such sign-in", async () => {
    await using server = await serveLocal(database());
    for (const path of ["/auth/sign-in", "/auth/callback?code=a&state=b"]) {
      const { status, body } = await openPage(server.url).send("GET", path);
      expect([path, status, body.code]).toEqual([path, 403, "sign_in_closed"]);
    }
  });
});
