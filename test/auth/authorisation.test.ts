import { describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { exportJWK, exportSPKI } from "jose";
import { makeApp } from "../harness/app.ts";
import { documentOf, guarded } from "../harness/guarded.ts";

/** Paths without a token that are not in the document. */
const PAGES =
  /^\/($|openapi|swagger-ui|rapidoc|metrics|favicon|console\/|(new|failed|system|sign-in|[pu])$|[sp]\/)/;
const OPEN_OPERATIONS = /^handlers_(health_|webhooks_|auth_|provenance_key$)/;
const guard = guarded();
const { here } = guard;

const seconds = (offset: number) => Math.floor(Date.now() / 1000) + offset;
const base64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
/** Signed by HMAC with a secret that is public: the published key. */
async function hmacWith(secret: string, alg = "HS256") {
  const payload = (await here.issuer.token(here.key)).split(".")[1];
  const signed = `${base64({ alg, kid: "key" })}.${payload}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

/** Authorization headers that must be refused. */
const INTRUDERS: Record<string, () => Promise<string | undefined>> = {
  "no token": async () => undefined,
  "an empty header": async () => "",
  "another scheme": async () => `Basic ${btoa("alice:alice")}`,
  "a scheme alone": async () => "Bearer",
  "a malformed token": async () => "Bearer abc",
  "three meaningless parts": async () => "Bearer a.b.c",
  "two tokens": async () =>
    `Bearer ${await here.issuer.token(here.key)} ${await here.issuer.token(here.key)}`,
  "an expired token": async () => `Bearer ${await here.issuer.token(here.key, { exp: seconds(-60) })}`,
  "a token that is not yet valid": async () =>
    `Bearer ${await here.issuer.token(here.key, { nbf: seconds(60) })}`,
  "a token without expiry": async () => `Bearer ${await here.issuer.token(here.key, { exp: undefined })}`,
  "a token without a subject": async () => `Bearer ${await here.issuer.token(here.key, { sub: undefined })}`,
  "the wrong issuer": async () =>
    `Bearer ${await here.issuer.token(here.key, { iss: "https://evil.example" })}`,
  "the wrong audience": async () => `Bearer ${await here.issuer.token(here.key, { aud: "another-service" })}`,
  "no audience": async () => `Bearer ${await here.issuer.token(here.key, { aud: undefined })}`,
  "an unknown key": async () => `Bearer ${await here.issuer.token(here.other)}`,
  "another key under a known name": async () =>
    `Bearer ${await here.issuer.token({ ...here.other, kid: "key" })}`,
  "algorithm none": async () => {
    const payload = (await here.issuer.token(here.key)).split(".")[1];
    return `Bearer ${base64({ alg: "none", kid: "key" })}.${payload}.`;
  },
  "HS256 with the public key in PEM": async () =>
    `Bearer ${await hmacWith(await exportSPKI(here.key.publicKey))}`,
  "HS256 with the public key as JWK": async () =>
    `Bearer ${await hmacWith(JSON.stringify(await exportJWK(here.key.publicKey)))}`,
  "RS256 with an HMAC": async () => `Bearer ${await hmacWith(await exportSPKI(here.key.publicKey), "RS256")}`,
  "another payload under a valid signature": async () => {
    const [head, , signature] = (await here.issuer.token(here.key)).split(".");
    const claims = { iss: here.issuer.url, aud: "prompt-backend", sub: "root", exp: seconds(600) };
    return `Bearer ${head}.${base64(claims)}.${signature}`;
  },
};

describe("without a valid token", () => {
  test("every documented operation answers 401, whatever else is wrong with the request", async () => {
    const app = makeApp(guard.options());
    const { secured } = await documentOf(app);
    expect(secured.length).toBeGreaterThanOrEqual(8);
    const seen: string[] = [];
    for (const [who, make] of Object.entries(INTRUDERS)) {
      const authorization = await make();
      for (const { method, path } of secured) {
        const reply = await app.handle(
          new Request(`http://localhost${path.replaceAll(/\{\w+\}/g, "x")}?limit=x`, {
            method,
            headers: {
              "content-type": "application/json",
              ...(authorization !== undefined && { authorization }),
            },
            ...(method !== "GET" && { body: "{nonsense" }),
          }),
        );
        const text = await reply.text();
        const refused =
          reply.status === 401 &&
          reply.headers.get("www-authenticate")?.startsWith("Bearer") &&
          JSON.parse(text).err === "unauthorized";
        if (!refused) seen.push(`${who}: ${method} ${path} → ${reply.status} ${text.slice(0, 200)}`);
      }
    }
    expect(seen).toEqual([]);
    // The control: the same operations with a valid token.
    const authorization = `Bearer ${await here.issuer.token(here.key)}`;
    for (const { method, path } of secured) {
      const url = `http://localhost${path.replaceAll(/\{\w+\}/g, "x")}`;
      const { status } = await app.handle(new Request(url, { method, headers: { authorization } }));
      expect([path, status]).not.toEqual([path, 401]);
    }
  });

  test("only the listed operations are open", async () => {
    const app = makeApp(guard.options());
    const { routes, secured } = await documentOf(app);
    const open = routes.filter((route) => !secured.includes(route));
    expect(open.filter(({ operation }) => !OPEN_OPERATIONS.test(operation.operationId))).toEqual([]);
    const documented = new Set(
      routes.map(({ method, path }) => `${method} ${path.replaceAll(/\{\w+\}/g, ":")}`),
    );
    const hidden = app.routes
      .map(({ method, path }) => ({ path, name: `${method} ${path.replaceAll(/:\w+/g, ":")}` }))
      .filter(({ path, name }) => !PAGES.test(path) && !documented.has(name));
    // Where browsers sign in, before they have anything to show.
    expect(hidden.map(({ name }) => name)).toEqual(["GET /auth/sign-in", "GET /auth/callback"]);
  });
});
