import { expect, test } from "bun:test";
import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { RedisClient } from "bun";
import { startRedis } from "../harness/private-servers.ts";
import { describeWith } from "../harness/services.ts";
import { useDoctor } from "./use-doctor.ts";

const { scratch, examined } = useDoctor();

test("an issuer with and without its keys; an allocator that answers, and one that does not", async () => {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request) {
      const { pathname, origin } = new URL(request.url);
      if (pathname === "/good/.well-known/openid-configuration")
        return Response.json({ issuer: `${origin}/good`, jwks_uri: `${origin}/keys` });
      if (pathname === "/bad/.well-known/openid-configuration")
        return Response.json({ issuer: `${origin}/bad`, jwks_uri: `${origin}/none` });
      if (pathname === "/keys") return Response.json({ keys: [] });
      return new Response("no", { status: 404 });
    },
  });
  const at = (path: string) => ({ KEYCLOAK_ISSUER: new URL(path, server.url).href });
  try {
    expect((await examined(at("/good"))).of("identity")).toMatch(/^ok: .*publishes its keys/);
    const bad = await examined(at("/bad"));
    expect([bad.code, bad.of("identity")]).toEqual([
      1,
      expect.stringMatching(/^fail: .*\/none answered 404/),
    ]);
    expect((await examined(at("/nowhere"))).of("identity")).toMatch(/openid-configuration answered 404/);
    const there = { AGENT: "command", AGENT_COMMAND: '["sh"]', SANDBOX_PROVIDER: "allocator" };
    const here = await examined({ ...there, IP_ALLOCATOR_URL: server.url.href });
    expect(here.of("allocator")).toMatch(/^ok: .*answers \(404\)/);
    await server.stop(true);
    const away = await examined({ ...there, IP_ALLOCATOR_URL: server.url.href });
    expect(away.of("allocator")).toMatch(/^fail: .*does not answer/);
  } finally {
    await server.stop(true);
  }
});

test("what browsers need to sign in: an issuer's endpoints, PKCE, and the redirect URI", async () => {
  const endpoints = (at: string) => ({ authorization_endpoint: `${at}/auth`, token_endpoint: `${at}/token` });
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request) {
      const { pathname, origin } = new URL(request.url);
      const at = `${origin}${pathname.slice(0, pathname.indexOf("/", 1))}`;
      const found = {
        "/good": { ...endpoints(at), code_challenge_methods_supported: ["plain", "S256"] },
        "/silent": endpoints(at),
        "/plain": { ...endpoints(at), code_challenge_methods_supported: ["plain"] },
        "/bearer": {},
      }[new URL(at).pathname];
      return Response.json({ issuer: at, jwks_uri: `${origin}/keys/`, keys: [], ...found });
    },
  });
  const signIn = async (path: string, more: Record<string, string> = {}) => {
    const KEYCLOAK_ISSUER = new URL(path, server.url).href;
    return (await examined({ KEYCLOAK_ISSUER, OIDC_CLIENT_ID: "console", ...more })).of("sign-in");
  };
  try {
    expect(await signIn("/good")).toMatch(/^ok: .*as console, .* <URL of the service>\/auth\/callback/);
    expect(await signIn("/silent", { PUBLIC_URL: "https://agents.example/" })).toContain(
      "https://agents.example/auth/callback",
    );
    // Sign-ins begin at its origin, whatever its path is.
    expect(await signIn("/silent", { PUBLIC_URL: "https://agents.example/a/b" })).toContain(
      " https://agents.example/auth/callback",
    );
    expect(await signIn("/plain")).toMatch(/^fail: .*PKCE/);
    expect(await signIn("/bearer")).toMatch(/^fail: .*no authorization_endpoint/);
    expect(await signIn("/good", { OIDC_DISCOVERY_URL: new URL("/other/x", server.url).href })).toMatch(
      /^fail: .*another issuer/,
    );
  } finally {
    await server.stop(true);
  }
});

describeWith("redis", "doctor with Redis", () => {
  test("a Redis that may evict jobs", async () => {
    const own = await startRedis({ folder: await mkdtemp(join(scratch.folder, "redis-")) });
    const client = new RedisClient(own.url);
    try {
      await client.send("CONFIG", ["SET", "maxmemory-policy", "allkeys-lru"]);
      const { code, of } = await examined({ REDIS_URL: own.url });
      expect([code, of("queue")]).toEqual([0, expect.stringMatching(/^warn: .*allkeys-lru/)]);
    } finally {
      client.close();
      await own.stop();
    }
  });
});
