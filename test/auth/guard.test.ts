import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Elysia, t } from "elysia";
import { createGuard } from "../../src/auth/guard.ts";
import { createVerifier, type TokenVerifier } from "../../src/auth/verify.ts";
import { AppError } from "../../src/shared/errors.ts";

const user = { id: "alice", roles: ["reader"], expiresAt: Number.POSITIVE_INFINITY };
let verified = 0;
const verifier: TokenVerifier = {
  async verify(token) {
    verified++;
    if (token === "down") throw new AppError("identity_provider_unavailable", "down");
    if (token === "bug") throw new TypeError("bug");
    if (token !== "good.token-1_~+/==") throw new AppError("unauthorized", "bad");
    return user;
  },
  isTrusted: async () => true,
};
const GOOD = "Bearer good.token-1_~+/==";

function makeApp(of: TokenVerifier) {
  const guard = createGuard({ verifier: of });
  const shape = t.Object({ a: t.String() });
  const controller = (prefix: string) =>
    new Elysia({ prefix })
      .use(guard)
      .post("/json", ({ body, user }) => ({ body, user: user.id }), { body: shape, parse: "json" })
      .post("/any", ({ body, user }) => ({ body, user: user.id }), { body: shape })
      .post("/optional", ({ user }) => ({ user: user.id }), { body: t.Optional(shape), parse: "json" })
      .post("/nothing", ({ user }) => ({ user: user.id }))
      .get("/who", ({ user }) => user, { query: t.Object({ n: t.Optional(t.Numeric()) }) });
  return new Elysia()
    .onError({ as: "global" }, ({ code, error, set }) => {
      const app = error instanceof AppError ? error.kind : undefined;
      set.status =
        app === "unauthorized"
          ? 401
          : app === "unavailable"
            ? 503
            : code === "PARSE"
              ? 400
              : code === "VALIDATION"
                ? 422
                : 500;
      return { code: app ?? code };
    })
    .get("/health", () => "ok")
    .use(controller("/a"))
    .use(controller("/b"))
    .post("/open", ({ body }) => body ?? "none")
    .listen({ hostname: "127.0.0.1", port: 0 });
}

let app: ReturnType<typeof makeApp>;
beforeAll(() => {
  app = makeApp(verifier);
});
afterAll(() => app.stop(true));
const send = (
  path: string,
  authorization?: string,
  body?: string,
  contentType = "application/json",
  of = app,
) =>
  fetch(`http://127.0.0.1:${of.server?.port}${path}`, {
    method: path.endsWith("/who") || path.includes("?") || path === "/health" ? "GET" : "POST",
    headers: { "content-type": contentType, ...(authorization === undefined ? {} : { authorization }) },
    ...(body === undefined ? {} : { body }),
  });

describe.each(["/a", "/b"])("in controller %s, 401 comes first", (prefix) => {
  const routes = ["/json", "/any", "/optional", "/nothing"].map((one) => prefix + one);
  test.each(routes)("at %s", async (path) => {
    for (const body of ["{malformed", '{"b":1}', '{"a":"1"}', "", undefined])
      for (const type of [
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "x/y",
      ])
        for (const header of [undefined, "Bearer bad"]) {
          const response = await send(path, header, body, type);
          expect([body, type, header, response.status]).toEqual([body, type, header, 401]);
          expect(response.headers.get("www-authenticate")).toStartWith("Bearer");
        }
  });

  test("on a GET, before its query is validated", async () => {
    expect((await send(`${prefix}/who?n=x`)).status).toBe(401);
    expect((await send(`${prefix}/who?n=x`, GOOD)).status).toBe(422);
    const response = await send(`${prefix}/who`, GOOD);
    expect([response.status, await response.json()]).toMatchObject([200, { id: "alice" }]);
  });
});

test("a valid token passes on to parsing, validation and the handler", async () => {
  expect((await send("/a/json", GOOD, "{malformed")).status).toBe(400);
  expect((await send("/a/any", GOOD, "{malformed")).status).toBe(400);
  expect((await send("/a/json", GOOD, '{"b":1}')).status).toBe(422);
  for (const path of ["/a/json", "/b/json", "/a/any"]) {
    const response = await send(path, GOOD, '{"a":"1"}');
    expect(await response.json()).toEqual({ body: { a: "1" }, user: "alice" });
  }
  for (const path of ["/a/nothing", "/a/optional"])
    for (const body of [undefined, ""]) expect((await send(path, GOOD, body)).status).toBe(200);
});

test("the token is verified once per request, and other routes need none", async () => {
  const before = verified;
  await send("/a/json", GOOD, '{"a":"1"}');
  expect(verified).toBe(before + 1);
  expect((await send("/health")).status).toBe(200);
  expect((await send("/open", undefined, '{"a":1}')).status).toBe(200);
  expect(verified).toBe(before + 1);
});

test.each([
  ["no header", undefined, 401, "Bearer"],
  ["an empty header", "", 401, "Bearer"],
  ["another scheme", "Basic YTpi", 401, "Bearer"],
  ["a scheme alone", "Bearer", 401, "Bearer"],
  ["a scheme without a space", "Bearergood.token", 401, "Bearer"],
  ["two tokens", `${GOOD}, ${GOOD}`, 401, "Bearer"],
  ["a bad token", "Bearer bad", 401, 'Bearer error="invalid_token"'],
  ["lower case", GOOD.replace("Bearer", "bearer"), 200, null],
  ["upper case", GOOD.replace("Bearer", "BEARER"), 200, null],
  ["an issuer that is down", "Bearer down", 503, null],
  ["a bug in verifying", "Bearer bug", 500, null],
])("%s", async (_what, header, status, challenge) => {
  for (const path of ["/a/who", "/a/nothing"]) {
    const response = await send(path, header);
    expect([response.status, response.headers.get("www-authenticate")]).toEqual([status, challenge]);
  }
});

test("none mode needs no header and ignores it", async () => {
  const open = makeApp(createVerifier({ config: { mode: "none" }, dataDir: "/nonexistent" }));
  try {
    for (const header of [undefined, "Bearer anything", "Basic YTpi"]) {
      const response = await send("/a/who", header, undefined, undefined, open);
      expect(await response.json()).toMatchObject({ id: "local", roles: ["admin"] });
      expect((await send("/a/json", header, "{malformed", undefined, open)).status).toBe(400);
    }
  } finally {
    await open.stop(true);
  }
});
