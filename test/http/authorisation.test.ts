import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { eq } from "drizzle-orm";
import { exportJWK, exportSPKI } from "jose";
import { createVerifier } from "../../src/auth/verify.ts";
import { readConfig } from "../../src/config.ts";
import { deadLetter, message, prompt, session } from "../../src/db/tables.ts";
import { listen } from "../../src/http/listen.ts";
import { makeKey, type SigningKey, startIssuer } from "../auth/issuer.ts";
import { ask, makeApp } from "../harness/app.ts";
import { describeEachDatabase, seedSession } from "../harness/databases.ts";

/** What may be asked for without a token, besides what the document marks so. */
const PAGES = /^\/($|openapi|swagger-ui|rapidoc|metrics|favicon)/;
const OPEN_OPERATIONS = /^(handlers_health_|handlers_webhooks_)/;

interface Schema {
  $ref?: string;
  type?: string;
  format?: string;
  example?: unknown;
  enum?: unknown[];
  properties?: Record<string, Schema>;
  anyOf?: Schema[];
  items?: Schema;
}
interface Operation {
  operationId: string;
  security?: Record<string, unknown>[];
  requestBody?: { content: Record<string, { schema: Schema }> };
  responses: Record<string, { content?: Record<string, unknown> }>;
}
interface Route {
  method: string;
  path: string;
  operation: Operation;
}

let issuer: Awaited<ReturnType<typeof startIssuer>>;
let key: SigningKey;
let other: SigningKey;
beforeAll(async () => {
  [key, other] = await Promise.all([makeKey("key", "RS256"), makeKey("other", "RS256")]);
  issuer = await startIssuer(key);
});
afterAll(() => issuer.stop());

const env = () => ({ AUTH_MODE: "oidc", KEYCLOAK_ISSUER: issuer.url });
const verifierOf = (jwksCooldownMs?: number) =>
  createVerifier({
    config: readConfig(env()).auth,
    dataDir: "/nonexistent",
    ...(jwksCooldownMs !== undefined && { jwksCooldownMs }),
  });

async function documentOf(app: ReturnType<typeof makeApp>) {
  const { body } = await ask(app, undefined, "GET", "/openapi.json");
  const routes: Route[] = Object.entries(body.paths as Record<string, Record<string, Operation>>).flatMap(
    ([path, operations]) =>
      Object.entries(operations).map(([method, operation]) => ({
        method: method.toUpperCase(),
        path,
        operation,
      })),
  );
  return {
    routes,
    secured: routes.filter(({ operation }) => operation.security?.some((one) => "Bearer" in one)),
    schemas: body.components.schemas as Record<string, Schema>,
  };
}

const seconds = (offset: number) => Math.floor(Date.now() / 1000) + offset;
const base64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
/** Signed with HMAC by a secret that everybody knows: the published key. */
async function hmacWith(secret: string, alg = "HS256") {
  const payload = (await issuer.token(key)).split(".")[1];
  const signed = `${base64({ alg, kid: "key" })}.${payload}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

/** Each makes the Authorization header of somebody who must not be let in. */
const INTRUDERS: Record<string, () => Promise<string | undefined>> = {
  "no token": async () => undefined,
  "an empty header": async () => "",
  "another scheme": async () => `Basic ${btoa("alice:alice")}`,
  "a scheme alone": async () => "Bearer",
  "a malformed token": async () => "Bearer abc",
  "three parts of nothing": async () => "Bearer a.b.c",
  "two tokens": async () => `Bearer ${await issuer.token(key)} ${await issuer.token(key)}`,
  "an expired token": async () => `Bearer ${await issuer.token(key, { exp: seconds(-60) })}`,
  "a token that is not yet valid": async () => `Bearer ${await issuer.token(key, { nbf: seconds(60) })}`,
  "a token without an end": async () => `Bearer ${await issuer.token(key, { exp: undefined })}`,
  "a token of nobody": async () => `Bearer ${await issuer.token(key, { sub: undefined })}`,
  "the wrong issuer": async () => `Bearer ${await issuer.token(key, { iss: "https://evil.example" })}`,
  "the wrong audience": async () => `Bearer ${await issuer.token(key, { aud: "another-service" })}`,
  "no audience": async () => `Bearer ${await issuer.token(key, { aud: undefined })}`,
  "an unknown key": async () => `Bearer ${await issuer.token(other)}`,
  "another key under a known name": async () => `Bearer ${await issuer.token({ ...other, kid: "key" })}`,
  "algorithm none": async () => {
    const payload = (await issuer.token(key)).split(".")[1];
    return `Bearer ${base64({ alg: "none", kid: "key" })}.${payload}.`;
  },
  "HS256 with the public key in PEM": async () => `Bearer ${await hmacWith(await exportSPKI(key.publicKey))}`,
  "HS256 with the public key as JWK": async () =>
    `Bearer ${await hmacWith(JSON.stringify(await exportJWK(key.publicKey)))}`,
  "RS256 with an HMAC": async () => `Bearer ${await hmacWith(await exportSPKI(key.publicKey), "RS256")}`,
  "a payload that was exchanged": async () => {
    const [head, , signature] = (await issuer.token(key)).split(".");
    const claims = { iss: issuer.url, aud: "prompt-backend", sub: "root", exp: seconds(600) };
    return `Bearer ${head}.${base64(claims)}.${signature}`;
  },
};

describe("who shows no good token", () => {
  test("gets into no route of the document, whatever else is wrong with the request; each of them is 401", async () => {
    const app = makeApp({ env: env(), verifier: verifierOf() });
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
        const good =
          reply.status === 401 &&
          reply.headers.get("www-authenticate")?.startsWith("Bearer") &&
          JSON.parse(text).code === "unauthorized";
        if (!good) seen.push(`${who}: ${method} ${path} → ${reply.status} ${text.slice(0, 200)}`);
      }
    }
    expect(seen).toEqual([]);
    // The control: the same routes with a good token.
    const authorization = `Bearer ${await issuer.token(key)}`;
    for (const { method, path } of secured) {
      const url = `http://localhost${path.replaceAll(/\{\w+\}/g, "x")}`;
      const { status } = await app.handle(new Request(url, { method, headers: { authorization } }));
      expect([path, status]).not.toEqual([path, 401]);
    }
  });

  test("all else is open on purpose", async () => {
    const app = makeApp({ env: env(), verifier: verifierOf() });
    const { routes, secured } = await documentOf(app);
    const open = routes.filter((route) => !secured.includes(route));
    expect(open.filter(({ operation }) => !OPEN_OPERATIONS.test(operation.operationId))).toEqual([]);
    const documented = new Set(
      routes.map(({ method, path }) => `${method} ${path.replaceAll(/\{\w+\}/g, ":")}`),
    );
    const hidden = app.routes
      .map(({ method, path }) => ({ path, name: `${method} ${path.replaceAll(/:\w+/g, ":")}` }))
      .filter(({ path, name }) => !PAGES.test(path) && !documented.has(name));
    expect(hidden).toEqual([]);
  });
});

describeEachDatabase("what is somebody else's", (database) => {
  /** One of each, alice's, in a session that rests so that everything might be changed. */
  async function alices() {
    const { sessionId, promptIds } = await seedSession(database(), 2);
    const [messageId, letterId] = [Bun.randomUUIDv7(), Bun.randomUUIDv7()];
    const promptId = promptIds[0] ?? "";
    const { orm } = database();
    await orm.insert(message).values({
      id: messageId,
      promptId,
      sessionId,
      seq: 1,
      data: { type: "assistant", uuid: messageId },
    });
    await orm.insert(deadLetter).values({
      id: letterId,
      taskType: "prompt-run",
      entityId: promptId,
      userId: "alice",
      entityData: { prompt_id: promptId },
      lastError: "it did not work",
    });
    return { session: sessionId, prompt: promptId, message: messageId, letter: letterId };
  }
  type Things = Awaited<ReturnType<typeof alices>>;

  const inPath = (things: Things): Record<string, string> => ({
    sessions: things.session,
    prompts: things.prompt,
    messages: things.message,
    "dead-letter-queue": things.letter,
  });
  const idOf = (route: Route, things: Things): string => {
    const room = route.path.split("/")[1] ?? "";
    const id = inPath(things)[room];
    if (!id) throw new Error(`Teach this test whose ids stand in ${route.path}.`);
    return id;
  };

  /** A body that the schema accepts, with alice's ids wherever there is one. */
  function bodyOf(
    schema: Schema,
    schemas: Record<string, Schema>,
    own: string,
    things: Things,
    name = "",
  ): unknown {
    if (schema.$ref)
      return bodyOf(schemas[schema.$ref.split("/").pop() ?? ""] ?? {}, schemas, own, things, name);
    const known: Record<string, unknown> = {
      session_id: things.session,
      parent: things.session,
      parent_id: things.session,
      prompt_id: things.prompt,
      id: own,
      repo: "owner/name",
      target_branch: "main",
      messages: [{ content: "go" }],
      data: { type: "assistant", uuid: "u", content: "go" },
    };
    if (name in known) return known[name];
    if (schema.anyOf?.[0]) return bodyOf(schema.anyOf[0], schemas, own, things, name);
    if (schema.enum) return schema.enum.find((one) => one !== null);
    if (schema.properties)
      return Object.fromEntries(
        Object.entries(schema.properties)
          // Those that only some values of others allow are left out; ids are what this is about.
          .filter(([key]) => key in known || schema.properties?.[key]?.format === "uuid")
          .map(([key, one]) => [key, bodyOf(one, schemas, own, things, key)]),
      );
    return schema.example ?? (schema.type === "array" ? [] : "x");
  }

  async function setUp() {
    const things = await alices();
    const app = makeApp({ database: database(), env: env(), verifier: verifierOf() });
    const tokens = Object.fromEntries(
      await Promise.all(
        ["alice", "bob", "root"].map(async (sub) => [
          sub,
          await issuer.token(key, { sub, ...(sub === "root" && { realm_access: { roles: ["admin"] } }) }),
        ]),
      ),
    );
    return { things, app, tokens, ...(await documentOf(app)) };
  }
  /** All that alice has, as it stands in the tables. */
  const everything = async (things: Things) => {
    const { orm } = database();
    return {
      session: await orm.select().from(session).where(eq(session.id, things.session)),
      prompts: await orm.select().from(prompt).where(eq(prompt.sessionId, things.session)),
      messages: await orm.select().from(message).where(eq(message.sessionId, things.session)),
      letters: await orm.select().from(deadLetter).where(eq(deadLetter.id, things.letter)),
    };
  };

  test("does not exist: every route that takes an id, in its path or its body, answers 404 and changes nothing", async () => {
    const { things, app, tokens, secured, schemas } = await setUp();
    const before = await everything(things);
    const asked: string[] = [];
    for (const route of secured) {
      const { method, path, operation } = route;
      const hasId = path.includes("{");
      const own = hasId ? idOf(route, things) : "";
      const schema = operation.requestBody?.content["application/json"]?.schema;
      const body = schema && bodyOf(schema, schemas, own, things);
      const names = Object.values(things).some((id) => JSON.stringify(body ?? "").includes(id));
      if (!hasId && !names) continue;
      asked.push(operation.operationId);
      const reply = await ask(app, tokens["bob"], method, path.replace(/\{\w+\}/, own), body);
      expect({ route: `${method} ${path}`, status: reply.status, code: reply.body.code }).toEqual({
        route: `${method} ${path}`,
        status: 404,
        code: "not_found",
      });
    }
    expect(await everything(things)).toEqual(before);
    expect(asked).toContain("handlers_sessions_read");
    expect(asked).toContain("handlers_prompts_create");
    // The control: to alice, what is read exists.
    for (const route of secured.filter(({ method, path }) => method === "GET" && path.includes("{"))) {
      if (route.operation.responses["200"]?.content?.["text/event-stream"]) continue;
      const path = route.path.replace(/\{\w+\}/, idOf(route, things));
      expect([route.path, (await ask(app, tokens["alice"], "GET", path)).status]).toEqual([route.path, 200]);
    }
  });

  test("stands in no list; an admin sees everybody's dead letters, and nothing else of theirs", async () => {
    const { things, app, tokens, secured } = await setUp();
    const lists = secured.filter(
      ({ method, path, operation }) =>
        method === "GET" &&
        !path.includes("{") &&
        !operation.responses["200"]?.content?.["text/event-stream"],
    );
    expect(lists.map(({ path }) => path)).toContain("/sessions");
    for (const { path } of lists) {
      const seenBy = async (user: string) => {
        const { status, body } = await ask(app, tokens[user], "GET", path);
        expect([path, status]).toEqual([path, 200]);
        return Object.values(things).some((id) => JSON.stringify(body).includes(id));
      };
      const isDeadLetters = path.startsWith("/dead-letter-queue");
      expect([path, await seenBy("bob"), await seenBy("root")]).toEqual([path, false, isDeadLetters]);
      if (isDeadLetters || path === "/sessions") expect([path, await seenBy("alice")]).toEqual([path, true]);
    }
  });
});

test("the issuer exchanges its key while requests run, and somebody sends unknown keys: no good token is refused", async () => {
  const rotating = await startIssuer(key);
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
  let current = key;
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
