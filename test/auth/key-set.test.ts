import { afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { createVerifier } from "../../src/auth/verify.ts";
import { until } from "../harness/until.ts";
import { makeKey, refusal, type SigningKey, startIssuer } from "./issuer.ts";

const COOLDOWN = 5_000;
const dataDir = "/nonexistent";
let first: SigningKey;
let second: SigningKey;
let issuer: Awaited<ReturnType<typeof startIssuer>>;
let now: number;
beforeAll(async () => {
  [first, second] = await Promise.all([makeKey("first", "ES256"), makeKey("second", "ES256")]);
});
beforeEach(async () => {
  issuer = await startIssuer(first);
  now = Date.now();
});
afterEach(() => issuer.stop());

const open = (jwksUri?: string) =>
  createVerifier({ config: { ...issuer.config, jwksUri }, dataDir, now: () => now });
/** A JSON body that is complete once `promise` is resolved. */
const bodyAfter = (promise: Promise<void>, value: unknown) =>
  new ReadableStream({
    async pull(controller) {
      await promise;
      controller.enqueue(new TextEncoder().encode(JSON.stringify(value)));
      controller.close();
    },
  });
/** For `then`: whether it was refused. */
const SWAPPED = [() => false, () => true] as const;
/** A different token each time, because verified tokens are cached. */
let serial = 0;
const fresh = (key: SigningKey) =>
  issuer.token(key, { jti: String(serial++), exp: Math.floor(now / 1000) + 86_400 });
const flood = async (verifier: ReturnType<typeof open>, key: SigningKey) => {
  for (let round = 0; round < 3; round++)
    await Promise.all(Array.from({ length: 20 }, async () => refusal(verifier.verify(await fresh(key)))));
};

test("nothing is fetched before the first token, then once for many concurrent ones", async () => {
  const verifier = open();
  expect(issuer.requests).toEqual({ discovery: 0, jwks: 0 });
  await Promise.all(Array.from({ length: 20 }, async () => verifier.verify(await fresh(first))));
  expect(issuer.requests).toEqual({ discovery: 1, jwks: 1 });
});

test("KEYCLOAK_JWKS_URI is used without discovery", async () => {
  await open(`${issuer.url}/anywhere`).verify(await fresh(first));
  expect(issuer.requests).toEqual({ discovery: 0, jwks: 1 });
});

test("a flood of unknown keys causes one fetch per cooldown", async () => {
  const verifier = open();
  await verifier.verify(await fresh(first));
  now += COOLDOWN;
  await flood(verifier, second);
  expect(issuer.requests.jwks).toBe(2);
  now += COOLDOWN - 1;
  await flood(verifier, second);
  expect(issuer.requests.jwks).toBe(2);
  now += 1;
  await flood(verifier, second);
  expect(issuer.requests.jwks).toBe(3);
});

test("the same while the issuer is unavailable, and known keys stay valid", async () => {
  const verifier = open();
  await verifier.verify(await fresh(first));
  issuer.break(() => new Response("down", { status: 503 }));
  now += COOLDOWN;
  await flood(verifier, second);
  expect(issuer.requests.discovery).toBe(2);
  expect((await refusal(verifier.verify(await fresh(second)))).code).toBe("identity_provider_unavailable");
  expect((await verifier.verify(await fresh(first))).id).toBe("alice");
  expect(issuer.requests.discovery).toBe(2);
});

test("a flood of malformed tokens or forbidden algorithms causes no fetch", async () => {
  const verifier = open();
  const bad = Buffer.from('{"alg":"HS256","kid":"x"}').toString("base64url");
  for (const token of ["x", "a.b.c", `${bad}.e30.AAAA`]) await refusal(verifier.verify(token));
  expect(issuer.requests).toEqual({ discovery: 0, jwks: 0 });
});

test("key rotation: the new key is fetched, the withdrawn one becomes invalid", async () => {
  const verifier = open();
  await verifier.verify(await fresh(first));
  await issuer.publish(first, second);
  now += COOLDOWN;
  const [one, two] = [await fresh(first), await fresh(second)];
  expect((await verifier.verify(two)).id).toBe("alice");
  expect((await verifier.verify(one)).id).toBe("alice");
  await issuer.publish(second);
  now += 3_600_000;
  const { code, message } = await refusal(verifier.verify(await fresh(first)));
  expect([code, message]).toEqual(["unauthorized", expect.stringContaining("unknown key")]);
});

test("a token of a withdrawn key passes for a minute at most, also one that was accepted before", async () => {
  const verifier = open();
  const token = await fresh(first);
  const user = await verifier.verify(token);
  await issuer.publish(second);
  now += 60_000;
  expect((await refusal(verifier.verify(token))).message).toContain("unknown key");
  expect(await verifier.isTrusted(user)).toBe(false);
});

test("after half a minute keys are fetched beside a request, which does not wait", async () => {
  const verifier = open(`${issuer.url}/keys`);
  const token = await fresh(first);
  await verifier.verify(token);
  now += 29_999;
  await verifier.verify(token);
  // The answer to this request comes after that of a fetch which had begun.
  await fetch(`${issuer.url}/keys`);
  expect(issuer.requests.jwks).toBe(2);
  const held = Promise.withResolvers<void>();
  issuer.break((_path, keys) => new Response(bodyAfter(held.promise, { keys })));
  await issuer.publish(second);
  now += 1;
  // The known key is valid until the fetch in progress is done; then it is unknown, which one more fetch confirms.
  for (let n = 0; n < 3; n++) expect((await verifier.verify(token)).id).toBe("alice");
  await until(() => issuer.requests.jwks === 3, { what: "the keys to be fetched" });
  held.resolve();
  await until(() => verifier.verify(token).then(...SWAPPED), { what: "the withdrawal to be known" });
  expect(issuer.requests.jwks).toBe(4);
  expect((await refusal(verifier.verify(token))).message).toContain("unknown key");
  expect(issuer.requests.jwks).toBe(4);
});

test("however many requests there are, the keys are fetched twice a minute; a key that is added harms no token", async () => {
  const verifier = open(`${issuer.url}/keys`);
  const token = await fresh(first);
  const user = await verifier.verify(token);
  await issuer.publish(second, first);
  for (let second = 0; second < 600; second++) {
    expect(await verifier.verify(token)).toBe(user);
    now += 1_000;
  }
  expect(issuer.requests.jwks).toBeLessThanOrEqual(21);
  expect(issuer.requests.jwks).toBeGreaterThanOrEqual(10);
});

test("nobody whose key is known waits for an issuer that hangs, but for the first", async () => {
  const verifier = open(`${issuer.url}/keys`);
  const token = await fresh(first);
  await verifier.verify(token);
  issuer.break(() => new Response("down", { status: 503 }));
  now += 60_000;
  expect((await verifier.verify(token)).id).toBe("alice");
  issuer.break(() => new Response(bodyAfter(new Promise(() => undefined), {})));
  now += COOLDOWN;
  expect((await verifier.verify(token)).id).toBe("alice");
  await until(() => issuer.requests.jwks === 3, { what: "a background fetch" });
  for (let n = 0; n < 3; n++) expect((await verifier.verify(token)).id).toBe("alice");
  expect(issuer.requests.jwks).toBe(3);
});

test("a key that changes under its name is another key", async () => {
  const verifier = open();
  const token = await fresh(first);
  await verifier.verify(token);
  await issuer.publish({ ...second, kid: first.kid });
  now += 60_000;
  expect((await refusal(verifier.verify(token))).message).toContain("signature");
});

test("an issuer that is down at first is 503, asked again soon, and then works", async () => {
  issuer.break(() => new Response("starting", { status: 502 }));
  const verifier = open();
  expect((await refusal(verifier.verify(await fresh(first)))).code).toBe("identity_provider_unavailable");
  expect((await refusal(verifier.verify(await fresh(first)))).code).toBe("identity_provider_unavailable");
  expect(issuer.requests.discovery).toBe(1);
  issuer.break(undefined);
  now += 5_000;
  expect((await verifier.verify(await fresh(first))).id).toBe("alice");
});

test("known keys stay valid for an hour without the issuer, not longer", async () => {
  const verifier = open();
  await verifier.verify(await fresh(first));
  issuer.stop();
  now += 3_599_000;
  expect((await verifier.verify(await fresh(first))).id).toBe("alice");
  now += 1_000;
  expect((await refusal(verifier.verify(await fresh(first)))).code).toBe("identity_provider_unavailable");
});

const answer = (path: string, keys: unknown, status: number) =>
  path.endsWith("configuration")
    ? Response.json({ issuer: issuer.url, jwks_uri: `${issuer.url}/keys` })
    : Response.json({ keys }, { status });
const redirected = (path: string, keys: unknown) =>
  path === "/keys" ? Response.redirect(`${issuer.url}/moved`) : answer(path, keys, 200);
const inline = () =>
  `data:application/json,${encodeURIComponent(JSON.stringify({ keys: issuer.published() }))}`;

test.each([
  ["no JSON", () => issuer.break(() => new Response("<html>"))],
  ["no keys", () => issuer.break(() => Response.json({}))],
  ["a redirect to valid keys", () => issuer.break(redirected)],
  ["valid keys with an error status", () => issuer.break((path, keys) => answer(path, keys, 500))],
  ["another issuer's discovery document", () => issuer.misname("https://evil.example")],
  ["a jwks_uri that is not http(s)", () => issuer.moveKeys(inline())],
])("an issuer that answers %s is unavailable", async (_what, harm) => {
  harm();
  expect((await refusal(open().verify(await fresh(first)))).code).toBe("identity_provider_unavailable");
});

test("a clock that is set back does not stop key rotation", async () => {
  const verifier = open();
  await verifier.verify(await fresh(first));
  await issuer.publish(second);
  now -= 86_400_000;
  expect((await verifier.verify(await fresh(second))).id).toBe("alice");
});

test("a key rotated right after a fetch is found at once", async () => {
  const verifier = open();
  await verifier.verify(await fresh(first));
  await issuer.publish(second);
  expect((await verifier.verify(await fresh(second))).id).toBe("alice");
  expect(issuer.requests.jwks).toBe(2);
});

test("a new key during a flood of unknown ones is not refused: its token waits for the next fetch", async () => {
  const cooldown = 300;
  const verifier = createVerifier({ config: issuer.config, dataDir, jwksCooldownMs: cooldown });
  await verifier.verify(await fresh(first));
  const start = performance.now();
  const flooding = new AbortController();
  const flood = (async () => {
    const refused: Promise<{ code: string }>[] = [];
    for (let n = 0; !flooding.signal.aborted; n++) {
      const forged = await issuer.token(second, {}, { kid: `forged ${n}` });
      refused.push(refusal(verifier.verify(forged)));
      await Bun.sleep(2);
    }
    return Promise.all(refused);
  })();
  await until(() => issuer.requests.jwks === 2, { what: "the fetch that the flood causes" });
  await issuer.publish(second);
  const tokens = await Promise.all(Array.from({ length: 20 }, () => fresh(second)));
  const users = await Promise.all(tokens.map((token) => verifier.verify(token)));
  expect(users.map(({ id }) => id)).toEqual(tokens.map(() => "alice"));
  flooding.abort();
  const codes = new Set((await flood).map(({ code }) => code));
  expect([...codes]).toEqual(["unauthorized"]);
  // One for the first token, one at once, then one per cooldown.
  expect(issuer.requests.jwks - 2).toBeLessThanOrEqual((performance.now() - start) / cooldown);
});
