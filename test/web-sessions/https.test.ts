import { expect, test } from "bun:test";
import { readConfig } from "../../src/config/config.ts";
import { readSecret, secretCookie } from "../../src/web-sessions/cookies.ts";
import { ownOrigin } from "../../src/web-sessions/own-origin.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { openPage, serveLocal, signedIn } from "./fixture.ts";

const SECRET = "s".repeat(43);
const PUBLIC = { PUBLIC_URL: "https://agents.example.com" };
const PROXY = { TRUSTED_PROXY_HOPS: "1" };
const HTTPS = { "x-forwarded-proto": "https" };

/** The cookie that a browser gets which asked for `url`, as a proxy hands it on. */
const cookieFor = (env: Record<string, string>, url: string, headers: Record<string, string> = {}) => {
  const own = ownOrigin(new Request(url, { headers }), readConfig({ DATA_DIR: "/nonexistent", ...env }));
  const cookie = secretCookie(SECRET, own, 60);
  const sent = new Request(url, { headers: { cookie: cookie.slice(0, cookie.indexOf(";")) } });
  // What is set is what is read.
  expect(readSecret(sent, own)).toBe(SECRET);
  return [own.origin, cookie.slice(0, cookie.indexOf("=")), cookie.includes("; Secure")];
};

test.each([
  ["PUBLIC_URL", PUBLIC, "http://agents.example.com/", {}, "https://agents.example.com"],
  ["a trusted proxy", PROXY, "http://agents.example.com/", HTTPS, "https://agents.example.com"],
  [
    "a trusted proxy, by another name",
    { ...PROXY, ...PUBLIC },
    "http://10.0.0.7/",
    HTTPS,
    "https://10.0.0.7",
  ],
  [
    "PUBLIC_URL, through a proxy that drops its port",
    { PUBLIC_URL: "https://agents.example.com:8443" },
    "http://agents.example.com/",
    {},
    "https://agents.example.com:8443",
  ],
  [
    "PUBLIC_URL with a port",
    { PUBLIC_URL: "https://agents.example.com:8443" },
    "http://agents.example.com:8443/",
    {},
    "https://agents.example.com:8443",
  ],
] as const)("https, says %s: a __Host- cookie, which browsers take from this host alone", (...row) => {
  const [, env, url, headers, origin] = row;
  expect(cookieFor(env, url, headers)).toEqual([origin, "__Host-prompt_backend", true]);
});

test.each([
  ["this machine, whatever PUBLIC_URL is", PUBLIC, "http://127.0.0.1:8000/", {}, "prompt_backend_8000"],
  ["another port of that name", PUBLIC, "http://agents.example.com:8000/", {}, "prompt_backend_8000"],
  ["a client that says https itself", {}, "http://127.0.0.1:8000/", HTTPS, "prompt_backend_8000"],
  ["a trusted proxy", PROXY, "http://a.example/", { "x-forwarded-proto": "http" }, "prompt_backend_80"],
] as const)("http, to %s: a cookie named by the port, which is sent without https", (...row) => {
  const [, env, url, headers, name] = row;
  expect(cookieFor(env, url, headers)).toEqual([new URL(url).origin, name, false]);
});

describeEachDatabase("a web session by https", (database) => {
  test("is in a __Host- cookie, is for the public origin, and not opened by the cookie of http", async () => {
    await using server = await serveLocal(database(), {
      env: { ...PUBLIC, CORS_ORIGINS: PUBLIC.PUBLIC_URL },
    });
    const host = { host: "agents.example.com" };
    const page = openPage(server.url, PUBLIC.PUBLIC_URL);
    const reply = await page.send("POST", "/auth/local", {
      body: { code: server.issuer.issueSignInCode() },
      headers: host,
    });
    expect(reply.headers.getSetCookie().map((one) => one.replace(/=[\w-]{43};/, "=SECRET;"))).toEqual([
      "__Host-prompt_backend=SECRET; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000; Secure",
    ]);
    const { body } = await page.send("GET", "/auth/session", { headers: host });
    const write = (origin: string) =>
      page
        .send("POST", "/events/ticket", { headers: { ...host, origin, "x-csrf-token": body.csrf_token } })
        .then(({ status }) => status);
    expect(await write(PUBLIC.PUBLIC_URL)).toBe(200);
    expect(await write("http://agents.example.com")).toBe(403);
    expect(await write(server.url)).toBe(403);
    // A page of http, which anybody on the way may have written, can set cookies, but none with this prefix.
    const [secret = ""] = page.cookies.values();
    const plain = (await signedIn(server)).cookie();
    for (const cookie of [plain, `prompt_backend=${secret}`, `prompt_backend_80=${secret}`])
      expect((await openPage(server.url).send("GET", "/me", { headers: { ...host, cookie } })).status).toBe(
        401,
      );
    const out = await page.send("POST", "/auth/sign-out", {
      headers: { ...host, "x-csrf-token": body.csrf_token },
    });
    expect(out.headers.getSetCookie()).toEqual([
      "__Host-prompt_backend=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0; Secure",
    ]);
  });
});
