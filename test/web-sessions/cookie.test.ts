import { expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { webSession } from "../../src/db/web-session-tables.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { until } from "../harness/until.ts";
import { openReader } from "../live/reader.ts";
import { openPage, serveLocal, signedIn } from "./fixture.ts";

const NO_ID = "019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708";

describeEachDatabase("the cookie of a web session", (database) => {
  test("attack: pages of other origins neither read nor write with it, also on the same site", async () => {
    await using server = await serveLocal(database());
    const page = await signedIn(server);
    const { port } = new URL(server.url);
    const foreign: Record<string, string>[] = [
      { origin: "http://localhost:3000" },
      { origin: "http://127.0.0.1:3000" },
      { origin: `http://localhost:${port}` },
      { origin: `https://127.0.0.1:${port}` },
      { origin: "null" },
      { origin: "https://evil.example" },
      { "sec-fetch-site": "same-site" },
      { "sec-fetch-site": "cross-site" },
    ];
    for (const headers of foreign)
      for (const [method, path] of [
        ["GET", "/me"],
        ["GET", "/events"],
        ["HEAD", "/sessions"],
        ["POST", "/events/ticket"],
        ["DELETE", `/sessions/${NO_ID}`],
        ["POST", "/auth/sign-out"],
      ] as const) {
        const { status, body } = await page.send(method, path, { headers });
        expect([headers, method, path, status]).toEqual([headers, method, path, 403]);
        if (method !== "HEAD") expect(body.code).toBe("origin_not_allowed");
      }
    for (const headers of foreign) {
      const { status, body } = await page.send("GET", "/auth/session", { headers });
      expect([status, body.signed_in, body.csrf_token]).toEqual([200, false, null]);
    }
    // The control: own pages, and a person who enters an address.
    expect((await page.send("GET", "/me", { headers: { "sec-fetch-site": "same-origin" } })).status).toBe(
      200,
    );
    expect((await page.send("GET", "/me", { headers: { "sec-fetch-site": "none" } })).status).toBe(200);
    expect((await page.send("POST", "/events/ticket")).status).toBe(200);
  });

  test("attack: a write needs the own origin and the CSRF token of the very session", async () => {
    await using server = await serveLocal(database());
    const [page, other] = [await signedIn(server), await signedIn(server)];
    const write = (options: Parameters<typeof page.send>[2]) =>
      page.send("POST", "/events/ticket", options).then(({ status, body }) => [status, body.code]);
    expect(await write({ without: ["origin"] })).toEqual([403, "origin_not_allowed"]);
    expect(await write({ headers: { "sec-fetch-site": "none" } })).toEqual([403, "origin_not_allowed"]);
    const wrong = [String(other.csrfToken()), "", "0".repeat(43), String([...page.cookies.values()][0])];
    for (const token of wrong)
      expect(await write({ headers: { "x-csrf-token": token } })).toEqual([403, "csrf_token_invalid"]);
    expect(await write({ without: ["x-csrf-token"] })).toEqual([403, "csrf_token_invalid"]);
    const out = await page.send("POST", "/auth/sign-out", { without: ["x-csrf-token"] });
    expect([out.status, out.body.code]).toEqual([403, "csrf_token_invalid"]);
    expect((await page.send("GET", "/me")).status).toBe(200);
  });

  test("beside a token it does not matter, and a token that is wrong is not replaced by it", async () => {
    await using server = await serveLocal(database());
    const page = await signedIn(server);
    const authorization = `Bearer ${await server.issuer.issue({ user: "ann", roles: [] })}`;
    const stale = openPage(server.url);
    for (const name of page.cookies.keys()) stale.cookies.set(name, "A".repeat(43));
    for (const one of [page, stale]) {
      const headers = { authorization, origin: "http://localhost:3000" };
      expect((await one.send("GET", "/me", { headers })).body.id).toBe("ann");
      expect((await one.send("POST", "/events/ticket", { headers, without: ["x-csrf-token"] })).status).toBe(
        200,
      );
      const wrong = { authorization: "Bearer nonsense" };
      expect((await one.send("GET", "/me", { headers: wrong })).body.code).toBe("unauthorized");
    }
    const { status, body } = await stale.send("GET", "/me");
    expect([status, body.code]).toEqual([401, "session_expired"]);
    expect((await stale.session()).signed_in).toBe(false);
  });

  test("attack: it opens nothing that has a secret of its own", async () => {
    await using server = await serveLocal(database(), {
      env: { WEBHOOK_SECRET: "0123456789abcdef", METRICS_TOKEN: "0123456789abcdef" },
    });
    const page = await signedIn(server);
    expect((await page.send("GET", "/metrics")).status).toBe(401);
    expect((await page.send("POST", "/webhook/return", { body: { item: {} } })).status).toBe(401);
  });

  test("attack: a dump of the database opens nothing", async () => {
    await using server = await serveLocal(database());
    const page = await signedIn(server);
    const rows = await database().orm.select().from(webSession);
    const dump = JSON.stringify(rows);
    const [[name, secret] = ["", ""]] = [...page.cookies];
    expect(dump).not.toContain(secret);
    expect(dump).not.toContain(String(page.csrfToken()));
    expect(dump).not.toContain("eyJ");
    for (const value of rows.flatMap(({ id, sealedTokens }) => [
      id,
      sealedTokens,
      sealedTokens.slice(0, 43),
      Buffer.from(id, "hex").toString("base64url"),
    ])) {
      const thief = openPage(server.url);
      thief.cookies.set(name, value);
      expect((await thief.send("GET", "/me")).status).toBe(401);
      const headers = { authorization: `Bearer ${value}` };
      expect((await openPage(server.url).send("GET", "/me", { headers })).status).toBe(401);
    }
    // Nor does whoever writes to it become somebody else: tokens belong to the secret that they were sealed with.
    const other = await signedIn(server);
    const [stolen] = rows;
    await database()
      .orm.update(webSession)
      .set({ sealedTokens: String(stolen?.sealedTokens) });
    expect((await other.send("GET", "/me")).body.code).toBe("session_expired");
  });

  test("it ends 7 days after its last use, and 30 days after it began", async () => {
    await using server = await serveLocal(database());
    const page = await signedIn(server);
    const { orm } = database();
    const daysLeft = async () => (Date.parse((await page.session()).expires_at) - Date.now()) / 86_400_000;
    const move = (days: number) =>
      orm.update(webSession).set({
        createdAt: sql`${webSession.createdAt} - make_interval(days => ${days}::int)`,
        expiresAt: sql`${webSession.expiresAt} - make_interval(days => ${days}::int)`,
      });
    await move(6);
    expect(await daysLeft()).toBeGreaterThan(6.9);
    for (let week = 0; week < 3; week += 1) {
      await move(6);
      await page.send("GET", "/me");
    }
    expect(await daysLeft()).toBeWithin(5.9, 6.01);
    await move(5);
    expect(await daysLeft()).toBeWithin(0.9, 1.01);
    await move(1);
    await move(1);
    expect((await page.send("GET", "/me")).body.code).toBe("session_expired");
    const idle = await signedIn(server);
    await move(8);
    expect((await idle.send("GET", "/me")).body.code).toBe("session_expired");
  });

  test("signing out ends it, its streams and those of its tickets; everywhere ends all of the user", async () => {
    await using server = await serveLocal(database());
    const [page, other] = [await signedIn(server), await signedIn(server)];
    const headers = (one: typeof page) => ({ headers: { cookie: one.cookie() } });
    const { ticket } = (await page.send("POST", "/events/ticket")).body;
    const readers = [
      await openReader(`${server.url}/events`, headers(page)),
      await openReader(`${server.url}/events?ticket=${ticket}`),
    ];
    const others = await openReader(`${server.url}/events`, headers(other));
    for (const reader of [...readers, others]) await reader.next("ready");
    const secret = page.cookie();
    const { body } = await page.send("POST", "/auth/sign-out");
    expect(body).toEqual({ success: true, message: "Signed out", sign_out_url: null });
    expect(page.cookies.size).toBe(0);
    for (const reader of readers) expect((await reader.next("bye")).data).toContain("token_expired");
    await until(() => server.hub.open === 1, { what: "only the other browser's stream is open" });
    expect((await openPage(server.url).send("GET", "/me", { headers: { cookie: secret } })).status).toBe(401);
    expect((await other.send("GET", "/me")).status).toBe(200);
    // Signing out again does nothing.
    expect((await page.send("POST", "/auth/sign-out")).status).toBe(200);

    const third = await signedIn(server);
    await third.send("POST", "/auth/sign-out", { body: { everywhere: true } });
    expect((await others.next("bye")).data).toContain("token_expired");
    expect((await other.send("GET", "/me")).body.code).toBe("session_expired");
    expect(await database().orm.select().from(webSession).where(eq(webSession.userId, "me"))).toEqual([]);
  });
});
