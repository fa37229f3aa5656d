import { expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import type { TokenVerifier } from "../../src/auth/claims.ts";
import { webSession } from "../../src/db/web-session-tables.ts";
import { AppError } from "../../src/shared/errors.ts";
import { openProvider } from "../../src/web-sessions/provider.ts";
import { createRefresher } from "../../src/web-sessions/refresh.ts";
import { idOf } from "../../src/web-sessions/secrets.ts";
import { findWebSession } from "../../src/web-sessions/store.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { openOidcProvider } from "../harness/oidc-provider.ts";
import { openPage } from "./fixture.ts";
import { serveOidc, serveWithProvider, signedInAs, verifierOf } from "./oidc-fixture.ts";

/** Longer than the provider's tokens are valid, with the tolerance for clocks. */
const EXPIRED_MS = 310_000;

/** A verifier that knows no more than the tokens of before, while the keys are away. */
function withoutKeys(provider: Awaited<ReturnType<typeof openOidcProvider>>) {
  const real = verifierOf(provider);
  const known = new Set<string>();
  const keys = { away: false };
  const verifier: TokenVerifier = {
    ...real,
    async verify(token) {
      if (keys.away && !known.has(token)) throw new AppError("identity_provider_unavailable", "No keys.");
      known.add(token);
      return real.verify(token);
    },
  };
  return { verifier, keys };
}

describeEachDatabase("tokens of a web session", (database) => {
  const rowOf = async (user: string) => {
    const [row] = await database().orm.select().from(webSession).where(eq(webSession.userId, user));
    return row;
  };
  /** Makes the next request renew them, as the provider's clock would. */
  const makeDue = (user: string) =>
    database()
      .orm.update(webSession)
      .set({ refreshAt: sql`now() - make_interval(secs => 1)`, refreshLeaseUntil: null })
      .where(eq(webSession.userId, user));

  test("are renewed a minute before they expire, again and again, each time with the newest refresh token", async () => {
    await using server = await serveWithProvider(database());
    const browser = await signedInAs("ann", server.url);
    const { requests } = server.provider;
    const seen = new Set<string | undefined>();
    for (const round of [0, 1, 2, 3]) {
      if (round > 0) await makeDue("ann");
      for (let n = 0; n < 3; n += 1) expect((await browser.send("GET", "/me")).body.id).toBe("ann");
      expect(requests).toEqual({ refreshed: round, refused: 0 });
      const row = await rowOf("ann");
      expect((Number(row?.refreshAt) - Date.now()) / 1_000).toBeWithin(225, 241);
      expect(row?.refreshLeaseUntil).toBeNull();
      seen.add(row?.sealedTokens);
    }
    expect(seen.size).toBe(4);
  });

  test("are renewed after they have expired as well", async () => {
    await using server = await serveWithProvider(database());
    const browser = await signedInAs("bea", server.url);
    server.provider.setLifetime(3_600);
    server.later(EXPIRED_MS);
    await makeDue("bea");
    expect((await browser.send("GET", "/me")).body.id).toBe("bea");
    expect(server.provider.requests).toEqual({ refreshed: 1, refused: 0 });
  });

  test("a refresh token that the provider refuses ends the session, though the token were still valid", async () => {
    await using server = await serveWithProvider(database());
    const browser = await signedInAs("cid", server.url);
    await server.provider.revokeAll();
    expect((await browser.send("GET", "/me")).status).toBe(200);
    await makeDue("cid");
    const { status, body } = await browser.send("GET", "/me");
    expect([status, body.code]).toEqual([401, "session_expired"]);
    expect(server.provider.requests).toEqual({ refreshed: 0, refused: 1 });
    expect(await rowOf("cid")).toBeUndefined();
    expect(await browser.session()).toMatchObject({ signed_in: false, user: null });
  });

  test("requests side by side, of two services on one database, renew once, and all of them are answered", async () => {
    await using server = await serveWithProvider(database());
    await using second = await serveOidc(database(), server.provider);
    const browser = await signedInAs("dan", server.url);
    // The name of the cookie has the port; behind one address they share it.
    const there = openPage(second.url);
    for (const secret of browser.cookies.values())
      there.cookies.set(`prompt_backend_${new URL(second.url).port}`, secret);
    const ask = async () => {
      const pages = Array.from({ length: 20 }, (_, n) => (n % 2 === 0 ? browser : there));
      const replies = await Promise.all(pages.map((page) => page.send("GET", "/me")));
      return new Set(replies.map(({ status, body }) => `${status} ${body.id}`));
    };
    await makeDue("dan");
    expect(await ask()).toEqual(new Set(["200 dan"]));
    expect(server.provider.requests).toEqual({ refreshed: 1, refused: 0 });
    server.provider.setLifetime(3_600);
    for (const one of [server, second]) one.later(EXPIRED_MS);
    await makeDue("dan");
    expect(await ask()).toEqual(new Set(["200 dan"]));
    expect(server.provider.requests).toEqual({ refreshed: 2, refused: 0 });
  });

  test("while the provider is away, go on until they expire; then 503, and on again when it is back", async () => {
    await using server = await serveWithProvider(database());
    const browser = await signedInAs("eve", server.url);
    server.provider.setLifetime(3_600);
    await server.provider.down();
    await makeDue("eve");
    expect((await browser.send("GET", "/me")).status).toBe(200);
    // The next one tries again soon, and not at once.
    expect(Number((await rowOf("eve"))?.refreshLeaseUntil) - Date.now()).toBeWithin(1, 5_001);
    server.later(EXPIRED_MS);
    for (const path of ["/me", "/auth/session"]) {
      await makeDue("eve");
      const { status, body } = await browser.send("GET", path);
      expect([path, status, body.code]).toEqual([path, 503, "identity_provider_unavailable"]);
    }
    await server.provider.up();
    await makeDue("eve");
    expect((await browser.send("GET", "/me")).body.id).toBe("eve");
    expect(server.provider.requests).toEqual({ refreshed: 1, refused: 0 });
  });

  test("another node's renewal that does not end is waited for until a deadline, and the session stays", async () => {
    await using server = await serveWithProvider(database());
    const browser = await signedInAs("fox", server.url);
    const [secret = ""] = browser.cookies.values();
    const id = idOf(secret);
    await makeDue("fox");
    // A renewal that hangs, longer than the lease is given for.
    const lease = (seconds: number) =>
      database()
        .orm.update(webSession)
        .set({ refreshLeaseUntil: sql`now() + make_interval(secs => ${seconds}::int)` })
        .where(eq(webSession.userId, "fox"));
    await lease(3_600);
    const row = await findWebSession(database().orm, id);
    if (!row) throw new Error("no session");
    const node = (now: () => number) => {
      const { KEYCLOAK_ISSUER: issuer, OIDC_CLIENT_ID } = server.provider.env;
      const client = { id: OIDC_CLIENT_ID, secret: undefined, scopes: [], discoveryUrl: undefined };
      return createRefresher({
        orm: database().orm,
        verifier: verifierOf(server.provider, now),
        provider: openProvider({ issuer, client }),
        waitMs: 250,
      });
    };
    // With a valid token nothing is waited for.
    expect(await node(Date.now)(id, secret, row)).toMatchObject({ access: expect.any(String) });
    const late = () => Date.now() + EXPIRED_MS;
    const begun = performance.now();
    const failure = await node(late)(id, secret, row).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "identity_provider_unavailable", kind: "unavailable" });
    expect(performance.now() - begun).toBeGreaterThanOrEqual(250);
    expect((await rowOf("fox"))?.sealedTokens).toBe(row.sealedTokens);
    expect(server.provider.requests).toEqual({ refreshed: 0, refused: 0 });

    server.later(EXPIRED_MS);
    server.provider.setLifetime(3_600);
    await lease(-1);
    expect((await browser.send("GET", "/me")).body.id).toBe("fox");
    expect(server.provider.requests).toEqual({ refreshed: 1, refused: 0 });
  });

  test("attack: renewed tokens of another user end the session, and switch to nobody", async () => {
    await using server = await serveWithProvider(database());
    const browser = await signedInAs("gil", server.url);
    server.provider.setSubject(() => "hal");
    await makeDue("gil");
    const { status, body } = await browser.send("GET", "/me");
    expect([status, body.code]).toEqual([401, "session_expired"]);
    expect(server.provider.requests).toEqual({ refreshed: 1, refused: 0 });
    expect([await rowOf("gil"), await rowOf("hal")]).toEqual([undefined, undefined]);
    expect(await browser.session()).toMatchObject({ signed_in: false, user: null });
  });

  test("attack: neither do those that were renewed while the keys were away", async () => {
    await using provider = await openOidcProvider();
    const { verifier, keys } = withoutKeys(provider);
    await using server = await serveOidc(database(), provider, { verifier });
    const browser = await signedInAs("jan", server.url);
    provider.setSubject(() => "joy");
    await makeDue("jan");
    keys.away = true;
    expect((await browser.send("GET", "/me")).status).toBe(503);
    // As soon as it is not due again, they are not renewed first.
    await database()
      .orm.update(webSession)
      .set({ refreshAt: sql`now() + make_interval(hours => 1)` })
      .where(eq(webSession.userId, "jan"));
    keys.away = false;
    const { status, body } = await browser.send("GET", "/me");
    expect([status, body.code]).toEqual([401, "session_expired"]);
    expect(await rowOf("jan")).toBeUndefined();
  });

  test("are kept though the keys that check them are away at that moment: the refresh token before them is used up", async () => {
    await using provider = await openOidcProvider();
    const { verifier, keys } = withoutKeys(provider);
    await using server = await serveOidc(database(), provider, { verifier });
    const browser = await signedInAs("kim", server.url);
    expect((await browser.send("GET", "/me")).status).toBe(200);
    await makeDue("kim");
    keys.away = true;
    expect((await browser.send("GET", "/me")).status).toBe(503);
    keys.away = false;
    expect((await browser.send("GET", "/me")).body.id).toBe("kim");
    expect(provider.requests).toEqual({ refreshed: 2, refused: 0 });
  });
});
