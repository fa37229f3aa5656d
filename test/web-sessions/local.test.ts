import { expect, test } from "bun:test";
import { count } from "drizzle-orm";
import { sealAudit } from "../../src/audit/seal-store.ts";
import { openLocalIssuer } from "../../src/auth/local-issuer.ts";
import { auditEvent } from "../../src/db/safety-tables.ts";
import { webSession } from "../../src/db/web-session-tables.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { openPage, serveLocal, signedIn } from "./fixture.ts";

const NOBODY = {
  signed_in: false,
  user: null,
  csrf_token: null,
  auth_mode: "local",
  sign_in: "local",
  expires_at: null,
};
const MINUTE = 60_000;

describeEachDatabase("signing in by the link of this machine", (database) => {
  const sessions = async () => (await database().orm.select({ n: count() }).from(webSession))[0]?.n;

  test("the code becomes a cookie that scripts cannot read, and the user is the one of `token --user me`, as an admin", async () => {
    await using server = await serveLocal(database());
    const page = openPage(server.url);
    expect(await page.session()).toEqual(NOBODY);
    const reply = await page.signIn(server.issuer.issueSignInCode());
    const { port } = new URL(server.url);
    expect(reply.headers.getSetCookie().map((one) => one.replace(/=[\w-]{43};/, "=SECRET;"))).toEqual([
      `prompt_backend_${port}=SECRET; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000`,
    ]);
    expect(reply.headers.get("cache-control")).toBe("no-store");
    const session = await page.session();
    expect(session).toEqual({
      ...NOBODY,
      signed_in: true,
      user: { id: "me", name: null, email: null, roles: ["admin"] },
      csrf_token: expect.stringMatching(/^[\w-]{43}$/),
      expires_at: expect.any(String),
    });
    const days = (Date.parse(session.expires_at) - Date.now()) / 86_400_000;
    expect(days > 6.9 && days <= 7).toBe(true);
    expect((await page.send("GET", "/me")).body).toMatchObject({ id: "me", roles: ["admin"] });
    expect((await page.send("GET", "/audit")).status).toBe(200);
    const target = { repo: "owner/name", target_branch: "main", messages: "Fix it" };
    const { body } = await page.send("POST", "/sessions/with-prompt", { body: target });
    const authorization = `Bearer ${await server.issuer.issue({ user: "me", roles: [] })}`;
    const own = await fetch(`${server.url}/sessions/${body.sessionId}`, { headers: { authorization } });
    expect(own.status).toBe(200);
    await sealAudit(database().orm);
    const acts = await database().orm.select().from(auditEvent);
    expect(acts.find(({ action }) => action === "auth.web_sign_in")).toMatchObject({
      actor: "me",
      detail: { by: "link" },
    });
    expect(JSON.stringify(acts)).not.toContain(page.cookies.values().next().value);
  });

  test("attack: a code signs in once, also of many at once", async () => {
    await using server = await serveLocal(database());
    const code = server.issuer.issueSignInCode();
    const before = Number(await sessions());
    const pages = Array.from({ length: 10 }, () => openPage(server.url));
    const replies = await Promise.all(pages.map((page) => page.signIn(code)));
    expect(replies.map(({ status }) => status).sort()).toEqual([200, ...Array(9).fill(401)]);
    const again = await openPage(server.url).signIn(code);
    expect([again.status, again.body.code]).toEqual([401, "sign_in_code_invalid"]);
    expect(await sessions()).toBe(before + 1);
  });

  test("attack: no other code signs in: old, forged, changed, of another key, or a token", async () => {
    const refused: string[] = [];
    await using server = await serveLocal(database(), {
      onRefused: (reason, address) => refused.push(`${reason} ${address}`),
    });
    const code = server.issuer.issueSignInCode();
    const [until = "", nonce = "", signature = ""] = code.split(".");
    const later = (Number.parseInt(until, 36) + 60).toString(36);
    const stranger = openLocalIssuer({ dataDir: `${server.dataDir}/other`, audience: "prompt-backend" });
    const codes = [
      "",
      "..",
      `${later}.${nonce}.${signature}`,
      `${until}.${nonce.slice(1)}A.${signature}`,
      `${until}.${nonce}.${"0".repeat(64)}`,
      `${until}.${nonce}`,
      `${code}0`,
      stranger.issueSignInCode(),
      (await server.issuer.issue({ user: "me", roles: [] })).slice(0, 200),
    ];
    const page = openPage(server.url);
    for (const one of codes) {
      const { status, body } = await page.signIn(one);
      expect([one, status, body.code]).toEqual([one, 401, "sign_in_code_invalid"]);
    }
    expect(page.cookies.size).toBe(0);
    expect(refused).toEqual(codes.map(() => "sign_in_code_invalid 127.0.0.1"));
    server.later(10 * MINUTE + 1);
    expect((await page.signIn(code)).body.code).toBe("sign_in_code_invalid");
    const soon = server.issuer.issueSignInCode();
    server.later(9 * MINUTE);
    expect((await page.signIn(soon)).status).toBe(200);
  });

  test("attack: a code from another machine is refused, and stays unused", async () => {
    await using server = await serveLocal(database());
    const code = server.issuer.issueSignInCode();
    for (const headers of [
      { "x-forwarded-for": "203.0.113.9" },
      { "x-forwarded-for": "127.0.0.1" },
      { forwarded: "for=203.0.113.9" },
    ]) {
      const reply = await openPage(server.url).send("POST", "/auth/local", { body: { code }, headers });
      expect([reply.status, reply.body.code]).toEqual([403, "sign_in_closed"]);
    }
    expect((await openPage(server.url).signIn(code)).status).toBe(200);
  });

  test("attack: no page of another origin signs a browser in, also on the same site; the code stays unused", async () => {
    await using server = await serveLocal(database());
    const code = server.issuer.issueSignInCode();
    const page = openPage(server.url);
    for (const options of [
      { headers: { origin: "http://localhost:3000" } },
      { headers: { origin: "https://evil.example" } },
      { headers: { origin: "null" } },
      { headers: { "sec-fetch-site": "same-site" } },
      { without: ["origin"] },
    ]) {
      const reply = await page.send("POST", "/auth/local", { body: { code }, ...options });
      expect([options, reply.status, reply.body.code]).toEqual([options, 403, "origin_not_allowed"]);
    }
    expect(page.cookies.size).toBe(0);
    expect((await page.signIn(code)).status).toBe(200);
  });

  test("attack: signing in takes a new secret, whatever the browser was given before", async () => {
    await using server = await serveLocal(database());
    const attacker = await signedIn(server);
    const victim = openPage(server.url);
    for (const [name, value] of attacker.cookies) victim.cookies.set(name, value);
    await victim.signIn(server.issuer.issueSignInCode());
    expect(victim.cookie()).not.toBe(attacker.cookie());
    const planted = openPage(server.url);
    const [name = ""] = attacker.cookies.keys();
    planted.cookies.set(name, "A".repeat(43));
    await planted.signIn(server.issuer.issueSignInCode());
    expect(planted.cookie()).not.toContain("AAAA");
  });

  test("other modes say so: none needs no sign-in, and without OIDC_CLIENT_ID there is none", async () => {
    const anonymous = { id: "local", roles: ["admin"], expiresAt: Number.POSITIVE_INFINITY };
    const verify = async () => anonymous;
    await using none = await serveLocal(database(), {
      env: { AUTH_MODE: "none" },
      verifier: { anonymous, verify, isTrusted: async () => true },
      localIssuer: undefined,
    });
    expect(await openPage(none.url).session()).toEqual({
      ...NOBODY,
      signed_in: true,
      user: { id: "local", name: null, email: null, roles: ["admin"] },
      auth_mode: "none",
      sign_in: "none",
    });
    const refused = await openPage(none.url).signIn(none.issuer.issueSignInCode());
    expect([refused.status, refused.body.code]).toEqual([403, "sign_in_closed"]);
    await using oidc = await serveLocal(database(), {
      env: { KEYCLOAK_ISSUER: "https://sso.example.com" },
      localIssuer: undefined,
    });
    expect(await openPage(oidc.url).session()).toEqual({ ...NOBODY, auth_mode: "oidc", sign_in: "none" });
  });
});
