import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { webSession } from "../../src/db/web-session-tables.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { openPage } from "./fixture.ts";
import { openBrowser, serveWithProvider, signedInAs } from "./oidc-fixture.ts";

describeEachDatabase("signing in with the identity provider", (database) => {
  const rowsOf = (user: string) =>
    database().orm.select().from(webSession).where(eq(webSession.userId, user));

  test("from the provider's form to reads and writes by cookie, as the user of the token", async () => {
    await using server = await serveWithProvider(database());
    const browser = openBrowser(server.url);
    expect(await browser.session()).toMatchObject({ signed_in: false, auth_mode: "oidc", sign_in: "oidc" });
    const address = new URL(await browser.begin("/sessions/one?tab=review#file"));
    expect(Object.fromEntries(address.searchParams)).toEqual({
      client_id: "console",
      response_type: "code",
      redirect_uri: `${server.url}/auth/callback`,
      scope: "openid profile email",
      state: expect.stringMatching(/^[\w-]{43}$/),
      nonce: expect.stringMatching(/^[\w-]{43}$/),
      code_challenge: expect.stringMatching(/^[\w-]{43}$/),
      code_challenge_method: "S256",
    });
    const back = await browser.visitProvider(address.href, { user: "ann" });
    const reply = await browser.send("GET", back.slice(server.url.length));
    expect([reply.status, reply.headers.get("location")]).toEqual([302, "/sessions/one?tab=review#file"]);
    const { port } = new URL(server.url);
    expect(reply.headers.getSetCookie().map((one) => one.replace(/=[\w-]{43};/, "=SECRET;"))).toEqual([
      `prompt_backend_sign_in_${port}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0`,
      `prompt_backend_${port}=SECRET; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000`,
    ]);
    expect(reply.headers.get("cache-control")).toBe("no-store");
    expect(await browser.session()).toMatchObject({
      signed_in: true,
      user: { id: "ann", name: "ann of the provider", email: "ann@example.com", roles: [] },
      csrf_token: expect.stringMatching(/^[\w-]{43}$/),
    });
    expect((await browser.send("GET", "/me")).body).toMatchObject({ id: "ann" });
    const body = { repo: "owner/name", target_branch: "main", messages: "Fix it" };
    expect((await browser.send("POST", "/sessions/with-prompt", { body })).status).toBe(200);
    const without = ["x-csrf-token"];
    expect((await browser.send("POST", "/sessions/with-prompt", { body, without })).body.code).toBe(
      "csrf_token_invalid",
    );
    expect(JSON.stringify(await rowsOf("ann"))).not.toContain("eyJ");
  });

  test("signing out ends the row, and leads to the provider's own page for it", async () => {
    await using server = await serveWithProvider(database());
    const [browser, other] = [await signedInAs("bea", server.url), await signedInAs("bea", server.url)];
    const cookie = browser.cookie();
    const { body } = await browser.send("POST", "/auth/sign-out");
    const url = new URL(body.sign_out_url);
    expect(url.origin).toBe(server.provider.url);
    expect(Object.fromEntries(url.searchParams)).toEqual({
      id_token_hint: expect.stringMatching(/^eyJ/),
      client_id: "console",
      post_logout_redirect_uri: `${server.url}/`,
    });
    expect((await fetch(url)).status).toBe(200);
    expect(browser.cookies.size).toBe(0);
    const stolen = await openPage(server.url).send("GET", "/me", { headers: { cookie } });
    expect([stolen.status, stolen.body.code]).toEqual([401, "session_expired"]);
    expect((await other.send("GET", "/me")).status).toBe(200);
    expect(await rowsOf("bea")).toHaveLength(1);
  });

  test("signing out everywhere ends all rows of the user, and nobody else's", async () => {
    await using server = await serveWithProvider(database());
    const [browser, other] = [await signedInAs("cid", server.url), await signedInAs("cid", server.url)];
    const stranger = await signedInAs("dan", server.url);
    await browser.send("POST", "/auth/sign-out", { body: { everywhere: true } });
    expect((await other.send("GET", "/me")).body.code).toBe("session_expired");
    expect((await stranger.send("GET", "/me")).status).toBe(200);
    expect(await rowsOf("cid")).toEqual([]);
  });

  test("signing out works while the provider is away", async () => {
    await using server = await serveWithProvider(database());
    const browser = await signedInAs("eve", server.url);
    await server.provider.down();
    expect((await browser.send("POST", "/auth/sign-out")).status).toBe(200);
    expect(await rowsOf("eve")).toEqual([]);
  });
});
