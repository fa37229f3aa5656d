import { expect, test } from "bun:test";
import type { Database } from "../../src/db/client.ts";
import { listen } from "../../src/server/listen.ts";
import { ask, makeApp } from "../harness/app.ts";
import { documentOf } from "../harness/guarded.ts";
import { realApp } from "../harness/real-app.ts";

test("health and liveness do no I/O", async () => {
  const app = makeApp();
  for (const path of ["/health", "/health/live"])
    expect(await ask(app, undefined, "GET", path)).toMatchObject({ status: 200, body: { status: "ok" } });
});

test("health details need a token, health does not", async () => {
  const send = (await realApp()).sendTo(() => ({}) as Pick<Database, "orm">);
  expect((await send("GET", "/health", { token: null })).body).toEqual({ status: "ok" });
  expect((await send("GET", "/health/detail", { token: null })).body.code).toBe("token_missing");
  expect((await send("GET", "/health/detail")).body).toMatchObject({
    agent: "demo",
    isolation: { isolated: true },
  });
});

test("the API's document says that the details may be had without a token, and nothing else that needs one", async () => {
  const { secured } = await documentOf(makeApp());
  const optional = secured.filter(({ operation }) =>
    operation.security?.some((one) => Object.keys(one).length === 0),
  );
  expect(optional.map(({ path }) => path)).toEqual(["/health/detail"]);
});

// Version, database and isolation of a service were told to everybody who could reach it.
test.each<[string, Record<string, string>, Record<string, string>, number]>([
  ["on loopback, from this machine", {}, {}, 200],
  ["on every address, even from this machine", { HOST: "0.0.0.0", AUTH_MODE: "local" }, {}, 401],
  ["through a proxy on this machine that nobody has declared", {}, { "x-forwarded-for": "203.0.113.9" }, 401],
  ["through such a proxy, with a forged address", {}, { "x-forwarded-for": "127.0.0.1" }, 401],
  ["through one that sends Forwarded", {}, { forwarded: "for=203.0.113.9" }, 401],
  [
    "through a declared proxy, from elsewhere",
    { TRUSTED_PROXY_HOPS: "1" },
    { "x-forwarded-for": "127.0.0.1, 203.0.113.9" },
    401,
  ],
  [
    "with an issuer, by a proxy that names nobody",
    { KEYCLOAK_ISSUER: "https://sso.example.com/realms/main" },
    {},
    401,
  ],
  [
    "through a declared proxy, from this machine",
    { TRUSTED_PROXY_HOPS: "1" },
    { "x-forwarded-for": "127.0.0.1" },
    200,
  ],
])("health details without a token: %s", async (_what, env, headers, status) => {
  const { HOST: host = "127.0.0.1" } = env;
  const server = await listen({ app: makeApp({ env }), host, port: 0 });
  try {
    expect((await fetch(`${server.url}/health/detail`, { headers })).status).toBe(status);
    expect((await fetch(`${server.url}/health`, { headers })).status).toBe(200);
    const authorization = "Bearer alice";
    expect(
      (await fetch(`${server.url}/health/detail`, { headers: { ...headers, authorization } })).status,
    ).toBe(200);
  } finally {
    await server.stop();
  }
});
