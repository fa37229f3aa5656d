import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { exportJWK, exportSPKI, type JWTPayload, UnsecuredJWT } from "jose";
import { createVerifier } from "../../src/auth/verify.ts";
import { AUDIENCE, makeKey, refusal, type SigningKey, startIssuer } from "./issuer.ts";

const ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];
const dataDir = "/nonexistent";
let keys: SigningKey[];
let rs: SigningKey;
let issuer: Awaited<ReturnType<typeof startIssuer>>;
const verifierOf = (options: Partial<Parameters<typeof createVerifier>[0]> = {}) =>
  createVerifier({ config: issuer.config, dataDir, ...options });

beforeAll(async () => {
  keys = await Promise.all(ALGORITHMS.map((alg) => makeKey(`key-${alg}`, alg)));
  rs = keys[0] as SigningKey;
  issuer = await startIssuer(...keys);
});
afterAll(() => issuer.stop());

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
const seconds = () => Math.floor(Date.now() / 1000);

describe("accepts", () => {
  test.each(ALGORITHMS)("a valid %s token", async (alg) => {
    const key = keys.find((one) => one.alg === alg) as SigningKey;
    const exp = seconds() + 60;
    const verifier = verifierOf();
    const user = await verifier.verify(await issuer.token(key, { exp }));
    expect(user).toMatchObject({ id: "alice", roles: [], expiresAt: exp * 1000 });
    expect(await verifier.isTrusted(user)).toBe(true);
  });

  test("Keycloak's realm roles and a top-level list, strings only, each once", async () => {
    const realm_access = { roles: ["admin", "offline_access", 7] };
    const token = await issuer.token(rs, { realm_access, roles: ["admin", "reader", null] });
    expect((await verifierOf().verify(token)).roles).toEqual(["admin", "offline_access", "reader"]);
    for (const odd of [{ realm_access: "admin" }, { realm_access: { roles: "admin" } }, { roles: "admin" }])
      expect((await verifierOf().verify(await issuer.token(rs, odd))).roles).toEqual([]);
  });

  test("a name and an e-mail address that can be printed; the user's own name where there is no other", async () => {
    const userWith = async (claims: Record<string, unknown>) =>
      verifierOf().verify(await issuer.token(rs, claims));
    const known = { name: "Test User", preferred_username: "test", email: "test@localhost" };
    expect(await userWith(known)).toMatchObject({ name: "Test User", email: "test@localhost" });
    expect(await userWith({ ...known, name: "" })).toMatchObject({ name: "test" });
    for (const odd of ["a\u0000@b", 7, null, "", "x".repeat(201)])
      expect(await userWith({ email: odd })).not.toHaveProperty("email");
  });

  test("one audience of several, an issuer's trailing slash, an expiry within the clocks' tolerance", async () => {
    for (const claims of [
      { aud: ["account", AUDIENCE], azp: "ui" },
      { iss: `${issuer.url}/` },
      { exp: seconds() - 2 },
    ])
      expect((await verifierOf().verify(await issuer.token(rs, claims))).id).toBe("alice");
  });

  test("a token without kid among several keys of its kind", async () => {
    const [one, two, stranger] = await Promise.all([1, 2, 3].map((n) => makeKey(`k${n}`, "ES256")));
    const several = await startIssuer(one as SigningKey, two as SigningKey);
    try {
      const verifier = createVerifier({ config: several.config, dataDir });
      const token = await several.token(two as SigningKey, {}, { kid: undefined });
      expect((await verifier.verify(token)).id).toBe("alice");
      const foreign = await several.token(stranger as SigningKey, {}, { kid: undefined });
      expect((await refusal(verifier.verify(foreign))).message).toContain("signature");
    } finally {
      several.stop();
    }
  });
});

describe("refuses", () => {
  const cases: [string, () => Promise<string> | string, string, code?: string][] = [
    ["expired", () => issuer.token(rs, { exp: seconds() - 60 }), "expired", "token_expired"],
    ["not yet valid", () => issuer.token(rs, { nbf: seconds() + 60 }), "not valid yet"],
    ["of another issuer", () => issuer.token(rs, { iss: "https://evil.example" }), "another issuer"],
    ["for another audience", () => issuer.token(rs, { aud: ["account"] }), "another audience"],
    ["without audience", () => issuer.token(rs, { aud: undefined }), '"aud"'],
    ["without issuer", () => issuer.token(rs, { iss: undefined }), '"iss"'],
    ["without expiry", () => issuer.token(rs, { exp: undefined }), '"exp"'],
    ["without subject", () => issuer.token(rs, { sub: undefined }), 'no "sub"'],
    ["with an empty subject", () => issuer.token(rs, { sub: "" }), '"sub"'],
    ["with a number as subject", () => issuer.token(rs, { sub: 7 } as unknown as JWTPayload), '"sub"'],
    ["with a NUL in its subject", () => issuer.token(rs, { sub: "a\0b" }), '"sub"'],
    ["of an unknown kid", () => issuer.token(rs, {}, { kid: "other" }), "unknown key"],
    ["signed by another key", async () => issuer.token(await makeKey(rs.kid, "RS256")), "signature"],
    ["with a changed payload", () => tampered(), "signature"],
    ["of algorithm none", () => unsecured(), "algorithm"],
    ["HMACed with the public key", () => confused(), "algorithm"],
    ["that brings its own key", () => embedded(), "unknown key"],
    ["that is empty", () => "", "not a valid JWT"],
    ["that is no JWT", () => "abc", "not a valid JWT"],
    ["of three odd parts", () => "a.b.c", "not a valid JWT"],
    ["whose payload is no object", () => `${encode({ alg: "RS256", kid: rs.kid })}.W10.AAAA`, ""],
    ["that is endless", () => "a".repeat(20_000), "too long"],
  ];
  test.each(cases)("a token %s", async (_what, make, sentence, expected = "unauthorized") => {
    const token = await make();
    const { kind, code, message } = await refusal(verifierOf().verify(token));
    expect([kind, code]).toEqual(["unauthorized", expected]);
    expect(message).toContain(sentence);
    if (token.length > 5) expect(message).not.toContain(token.slice(0, 40));
  });

  async function tampered() {
    const [header, , signature] = (await issuer.token(rs)).split(".");
    const claims = { iss: issuer.url, aud: AUDIENCE, sub: "mallory", exp: seconds() + 60 };
    return `${header}.${encode(claims)}.${signature}`;
  }
  function unsecured() {
    return new UnsecuredJWT({ sub: "mallory" })
      .setIssuer(issuer.url)
      .setAudience(AUDIENCE)
      .setExpirationTime("1h")
      .encode();
  }
  /** The classic: the published key, as text, used as an HMAC secret. */
  async function confused() {
    const body = `${encode({ alg: "HS256", kid: rs.kid })}.${encode({ iss: issuer.url, aud: AUDIENCE, sub: "mallory", exp: seconds() + 60 })}`;
    return `${body}.${createHmac("sha256", await exportSPKI(rs.publicKey))
      .update(body)
      .digest("base64url")}`;
  }
  async function embedded() {
    const own = await makeKey("own", "RS256");
    return issuer.token(own, {}, { jwk: await exportJWK(own.publicKey) });
  }

  test("HS256 even when the issuer publishes a symmetric key", async () => {
    const shared = await startIssuer();
    try {
      const secret = "s".repeat(32);
      shared.publishRaw([
        { kty: "oct", kid: "hs", alg: "HS256", k: Buffer.from(secret).toString("base64url") },
      ]);
      const body = `${encode({ alg: "HS256", kid: "hs" })}.${encode({ iss: shared.url, aud: AUDIENCE, sub: "m", exp: seconds() + 60 })}`;
      const token = `${body}.${createHmac("sha256", secret).update(body).digest("base64url")}`;
      const verifier = createVerifier({ config: shared.config, dataDir });
      expect((await refusal(verifier.verify(token))).message).toContain("algorithm");
      expect(shared.requests.jwks).toBe(0);
    } finally {
      shared.stop();
    }
  });
});

describe("tokens of the same issuer that are no access tokens", () => {
  type Parts = [claims: Record<string, unknown>, header?: Record<string, unknown>];
  test.each<[string, Parts, string]>([
    ["Keycloak's ID token", [{ typ: "ID", at_hash: "x" }, { typ: "JWT" }], "an ID token"],
    ["an ID token in lower case", [{ typ: "id" }], "an ID token"],
    ["an ID token by its at_hash alone", [{ at_hash: "x" }], "an ID token"],
    ["an ID token by its c_hash alone", [{ c_hash: "x" }], "an ID token"],
    ["an ID token by its header", [{}, { typ: "id+jwt" }], "an ID token"],
    ["a refresh token", [{ typ: "Refresh" }], "a refresh token"],
    ["an offline token", [{ typ: "Offline" }], "a refresh token"],
    ["a logout token by its header", [{}, { typ: "logout+jwt" }], "a logout token"],
    ["a logout token with the full media type", [{}, { typ: "application/logout+jwt" }], "a logout token"],
    [
      "a logout token by its events alone",
      [{ events: { "http://schemas.openid.net/event/backchannel-logout": {} } }],
      "a logout token",
    ],
    ["Keycloak's logout token", [{ typ: "Logout" }, { typ: "JWT" }], "a logout token"],
    ["a security event", [{}, { typ: "secevent+jwt" }], "a security event"],
    ["an unknown type in the claims", [{ typ: "Whatever" }], "not accepted"],
    ["an unknown type in the header", [{ typ: "Bearer" }, { typ: "dpop+jwt" }], "not accepted"],
    ["a type that is no text", [{ typ: ["Bearer"] }], "must be text"],
    ["an empty type", [{ typ: "" }], "not accepted"],
    ["several audiences and no client", [{ aud: ["account", AUDIENCE] }], '"azp"'],
    ["a client that is no text", [{ azp: 7 }], '"azp"'],
  ])("attack: %s is refused", async (_what, [claims, header], sentence) => {
    const token = await issuer.token(rs, claims, header);
    const { code, message } = await refusal(verifierOf().verify(token));
    expect(code).toBe("unauthorized");
    expect(message).toContain(sentence);
  });

  test.each<[string, Parts]>([
    ["no type at all", [{}]],
    ["Keycloak's", [{ typ: "Bearer", azp: "ui" }, { typ: "JWT" }]],
    ["RFC 9068's", [{ client_id: "ui" }, { typ: "application/AT+jwt" }]],
    ["an upper case type", [{ typ: "BEARER" }]],
  ])("access tokens are accepted: %s", async (_what, [claims, header]) => {
    expect((await verifierOf().verify(await issuer.token(rs, claims, header))).id).toBe("alice");
  });

  test("AUTH_TOKEN_TYPES: other types are accepted if they are listed, but never those of other kinds", async () => {
    const verifier = verifierOf({ config: { ...issuer.config, tokenTypes: ["DPoP", "ID", "logout+jwt"] } });
    expect((await verifier.verify(await issuer.token(rs, { typ: "dpop" }))).id).toBe("alice");
    for (const typ of ["Bearer", "ID", "logout+jwt"])
      expect((await refusal(verifier.verify(await issuer.token(rs, { typ })))).code).toBe("unauthorized");
  });

  test("AUTH_AUTHORIZED_PARTIES: only tokens of listed clients, by azp and by client_id", async () => {
    const verifier = verifierOf({ config: { ...issuer.config, authorizedParties: ["ui", "cli"] } });
    for (const claims of [{ azp: "ui" }, { client_id: "cli" }, { azp: "ui", client_id: "ui" }])
      expect((await verifier.verify(await issuer.token(rs, claims))).id).toBe("alice");
    for (const claims of [
      {},
      { azp: "other" },
      { azp: "UI" },
      { azp: "ui", client_id: "other" },
      { azp: "" },
    ])
      expect((await refusal(verifier.verify(await issuer.token(rs, claims)))).code).toBe("unauthorized");
  });
});

describe("caches", () => {
  test("a verified token, but not beyond its expiry", async () => {
    let now = Date.now();
    const verifier = verifierOf({ now: () => now });
    const token = await issuer.token(rs, { exp: Math.floor(now / 1000) + 60 });
    const user = await verifier.verify(token);
    // The very same object: it was not verified again.
    expect(await verifier.verify(token)).toBe(user);
    now += 59_000;
    expect(await verifier.verify(token)).toBe(user);
    now += 10_000;
    expect((await refusal(verifier.verify(token))).message).toContain("expired");
  });

  test("a limited number of tokens, and evicts the oldest", async () => {
    const verifier = verifierOf({ cacheSize: 2 });
    const tokens = await Promise.all(["a", "b", "c"].map((sub) => issuer.token(rs, { sub })));
    const users = [];
    for (const token of tokens) users.push(await verifier.verify(token));
    expect(await verifier.verify(tokens[1] as string)).toBe(users[1] as never);
    expect(await verifier.verify(tokens[2] as string)).toBe(users[2] as never);
    const again = await verifier.verify(tokens[0] as string);
    expect(again).toEqual(users[0] as never);
    expect(again).not.toBe(users[0] as never);
  });

  test("no refusal: a token that is not valid yet becomes valid later", async () => {
    let now = Date.now();
    const verifier = verifierOf({ now: () => now });
    const token = await issuer.token(rs, { nbf: Math.floor(now / 1000) + 60 });
    await refusal(verifier.verify(token));
    now += 61_000;
    expect((await verifier.verify(token)).id).toBe("alice");
  });
});

test("none mode: every request is of the local admin, whatever the token", async () => {
  const verifier = createVerifier({ config: { mode: "none" }, dataDir });
  const user = { id: "local", roles: ["admin"], expiresAt: Number.POSITIVE_INFINITY };
  expect(await verifier.verify("anything")).toEqual(user);
  expect(verifier.anonymous).toEqual(user);
});
