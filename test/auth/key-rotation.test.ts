import { expect, test } from "bun:test";
import { createVerifier } from "../../src/auth/verify.ts";
import { listen } from "../../src/server/listen.ts";
import { makeApp } from "../harness/app.ts";
import { makeKey, startIssuer } from "./issuer.ts";

test("while the issuer rotates its key and unknown keys are sent, no valid token is refused", async () => {
  const [first, other] = await Promise.all([makeKey("first", "RS256"), makeKey("other", "RS256")]);
  const rotating = await startIssuer(first);
  const cooldown = 400;
  const app = makeApp({
    env: { AUTH_MODE: "oidc", KEYCLOAK_ISSUER: rotating.url, RATE_LIMIT_ADDRESS_PER_MINUTE: "0" },
    verifier: createVerifier({ config: rotating.config, dataDir: "/nonexistent", jwksCooldownMs: cooldown }),
  });
  const server = await listen({ app, host: "127.0.0.1", port: 0 });
  // It needs no database to be told that the query is wrong, and a token to be told anything.
  const statusOf = async (token: string) =>
    (await fetch(`${server.url}/sessions/x`, { headers: { authorization: `Bearer ${token}` } })).status;
  const start = performance.now();
  const statuses = { good: new Map<number, number>(), forged: new Map<number, number>() };
  const count = (of: Map<number, number>) => (status: number) =>
    void of.set(status, (of.get(status) ?? 0) + 1);
  let current = first;
  let done = false;
  let serial = 0;
  try {
    const clients = Array.from({ length: 4 }, async () => {
      while (!done)
        await statusOf(await rotating.token(current, { jti: `${serial++}` })).then(count(statuses.good));
    });
    const flood = Array.from({ length: 4 }, async () => {
      while (!done)
        await statusOf(await rotating.token(other, {}, { kid: `forged ${serial++}` })).then(
          count(statuses.forged),
        );
    });
    for (let n = 0; n < 3; n++) {
      const next = await makeKey(`rotated ${n}`, "RS256");
      const before = statuses.good.get(422) ?? 0;
      // Tokens of the last key are still under way.
      await rotating.publish(current, next);
      current = next;
      while ((statuses.good.get(422) ?? 0) < before + 40) await Bun.sleep(5);
    }
    done = true;
    await Promise.all([...clients, ...flood]);
    const elapsed = performance.now() - start;
    expect([...statuses.good.keys()]).toEqual([422]);
    expect([...statuses.forged.keys()]).toEqual([401]);
    // One for the first token, one at once for the first unknown key, then one per cooldown.
    expect(rotating.requests.jwks).toBeLessThanOrEqual(2 + elapsed / cooldown);
    expect(rotating.requests.jwks).toBeGreaterThanOrEqual(4);
  } finally {
    done = true;
    await server.stop();
    rotating.stop();
  }
}, 60_000);
