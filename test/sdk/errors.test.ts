import { describe, expect, test } from "bun:test";
import { against, failure, HTML, ID, sdk } from "./client.ts";
import { json, killed, refusal, text } from "./scripted-server.ts";

const { PromptBackend, APIError } = sdk;

describe("errors", () => {
  const NONE = { maxRetries: 0 };

  test.each([
    [400, sdk.BadRequestError],
    [401, sdk.AuthenticationError],
    [403, sdk.PermissionDeniedError],
    [404, sdk.NotFoundError],
    [409, sdk.ConflictError],
    [412, APIError],
    [422, sdk.UnprocessableEntityError],
    [429, sdk.RateLimitError],
    [500, sdk.InternalServerError],
    [503, sdk.InternalServerError],
  ])("%p has its class, and what the service said", async (status, Class) => {
    const { server, pb } = await against(
      NONE,
      refusal(`${status} No`, "some_code", { "x-one": "1", "retry-after": "7" }),
    );
    await using _ = server;
    const error = await failure(pb.sessions.retrieve(ID));
    expect(error).toBeInstanceOf(Class);
    expect(error).toBeInstanceOf(APIError);
    expect(error).toMatchObject({
      name: Class.name,
      status,
      code: "some_code",
      msg: "About some_code.",
      message: `${status} some_code: About some_code.`,
      requestId: "request-of-some_code",
      retryAfter: 7,
    });
    expect(error.headers.get("x-one")).toBe("1");
  });

  test("shows no more of a reply than 2,000 characters of each field", async () => {
    const long = "x".repeat(100_000);
    const body = { err: long, msg: long, code: long, request_id: long };
    const { server, pb } = await against(NONE, json(body, "500 Internal Server Error"));
    await using _ = server;
    const error = await failure(pb.health.check());
    expect([error.msg, error.code, error.requestId].map(({ length }) => length)).toEqual([
      2_000, 2_000, 2_000,
    ]);
  });

  test("has a Retry-After that is a date as seconds from now", async () => {
    const later = new Date(Date.now() + 90_000).toUTCString();
    const { server, pb } = await against(NONE, refusal("503 No", "later", { "retry-after": later }));
    await using _ = server;
    const { retryAfter } = await failure(pb.health.check());
    // A date has no milliseconds.
    expect(retryAfter).toBeWithin(60, 90.001);
  });

  test("502 with HTML: no page in the message, and the request id of the header", async () => {
    const { server, pb } = await against(
      NONE,
      text("502 Bad Gateway", "text/html", HTML, { "x-request-id": "r1" }),
    );
    await using _ = server;
    const error = await failure(pb.health.check());
    expect(error).toMatchObject({
      name: "InternalServerError",
      status: 502,
      code: undefined,
      requestId: "r1",
    });
    expect(error.message).toBe(
      "502: The reply (text/html) is not one of prompt-backend. A proxy before it may have failed, or baseUrl is wrong.",
    );
  });

  test.each([
    ["200 with HTML", text("200 OK", "text/html", HTML)],
    ["200 with broken JSON", text("200 OK", "application/json", '{"status":')],
  ])("%s, as from a wrong baseUrl", async (_name, step) => {
    const { server, pb } = await against({}, step);
    await using _ = server;
    const error = await failure(pb.health.check());
    expect(error).toBeInstanceOf(APIError);
    expect(error.message).toStartWith("200: The reply (");
    expect(error.message).not.toContain("nginx");
    expect(server.asked).toHaveLength(1);
  });

  test("a failed connection has the error of fetch as its cause, and says which request failed", async () => {
    const { server, pb } = await against(NONE, killed);
    await using _ = server;
    const error = await failure(pb.sessions.list({ q: "something secret" }));
    expect(error).toMatchObject({
      name: "ConnectionError",
      message: `GET ${server.url}/sessions: the connection failed.`,
    });
    expect(error.cause).toBeInstanceOf(Error);
  });

  test("generated methods reject with the same, or return it", async () => {
    const { server, pb } = await against(NONE, refusal("404 Not Found", "session_not_found"));
    await using _ = server;
    expect(await failure(pb.api.handlersSessionsRead({ path: { id: ID } }))).toBeInstanceOf(
      sdk.NotFoundError,
    );
    const { error } = await pb.api.handlersSessionsRead({ path: { id: ID }, throwOnError: false });
    expect(error).toBeInstanceOf(sdk.NotFoundError);
  });

  test.each(["", ".", ".."])("an id %p, which would be another address, is refused", (id) => {
    const pb = new PromptBackend({ baseUrl: "http://127.0.0.1:1" });
    expect(() => pb.sessions.delete(id)).toThrow("is not an id");
    expect(() => pb.events.session(id)).toThrow("is not an id");
  });

  test.each(["127.0.0.1:8000", "ftp://host", "https://user:word@host", ""])(
    "baseUrl %p is refused",
    (baseUrl) => {
      expect(() => new PromptBackend({ baseUrl })).toThrow("baseUrl: must be an http or https URL");
    },
  );
});
