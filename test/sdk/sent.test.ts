import { describe, expect, test } from "bun:test";
import { against, badGateway, failure, ID, ok, SOON, sdk } from "./client.ts";
import { json, killed, refusal, type Step, stuck } from "./scripted-server.ts";

const { PromptBackend } = sdk;
const created = json({ success: true, message: "Session created", id: ID });

describe("tokens", () => {
  const unauthorized = refusal("401 Unauthorized", "unauthorized");
  const me = json({ id: "ada" });

  test("a function is asked again after a 401, once", async () => {
    const reasons: unknown[] = [];
    const token = (why: unknown) => {
      reasons.push(why);
      return why === "rejected" ? "new" : "old";
    };
    const { server, pb } = await against({ token }, unauthorized, me, unauthorized, unauthorized);
    await using _ = server;
    expect(await pb.me.retrieve()).toMatchObject({ id: "ada" });
    expect(await failure(pb.me.retrieve())).toBeInstanceOf(sdk.AuthenticationError);
    expect(server.asked.map(({ headers }) => headers["authorization"])).toEqual([
      ...["Bearer old", "Bearer new"],
      ...["Bearer old", "Bearer new"],
    ]);
    expect(reasons).toEqual([undefined, "rejected", undefined, "rejected"]);
  });

  test("a string is not sent twice", async () => {
    const { server, pb } = await against({}, unauthorized);
    await using _ = server;
    expect(await failure(pb.me.retrieve())).toBeInstanceOf(sdk.AuthenticationError);
    expect(server.asked).toHaveLength(1);
  });

  test("the error of a function is that of the call", async () => {
    const lost = new Error("signed out");
    const { server, pb } = await against({ token: () => Promise.reject(lost) }, me);
    await using _ = server;
    expect(await failure(pb.me.retrieve())).toBe(lost);
    expect(await pb.health.check()).toMatchObject({ id: "ada" });
  });

  test.each(["secret\nline", "secret word", "secrét", ""])(
    "%p is refused without being shown",
    async (token) => {
      const { server, pb } = await against({ token }, me);
      await using _ = server;
      const error = await failure(pb.me.retrieve());
      expect(error.message).toStartWith("token: must be one line");
      expect(Bun.inspect(error)).not.toContain("secr");
    },
  );

  test("no error and no look at the client shows it", async () => {
    for (const step of [killed, unauthorized, badGateway, stuck]) {
      const { server, pb } = await against({ maxRetries: 0, timeout: 50 }, step);
      await using _ = server;
      expect(Bun.inspect(await failure(pb.me.retrieve()), { depth: 10 })).not.toContain("secret-token");
      expect(Bun.inspect(pb, { depth: 10 })).not.toContain("secret-token");
    }
  });
});

describe("what is sent", () => {
  test("the client's headers, the call's, and which client it is", async () => {
    const { server, pb } = await against({ defaultHeaders: { "x-one": "1", "x-two": "2" } }, ok);
    await using _ = server;
    await pb.health.check({ headers: { "x-two": "two" } });
    expect(server.asked[0]?.headers).toMatchObject({ "x-one": "1", "x-two": "two" });
    expect(server.asked[0]?.headers["user-agent"]).toMatch(/^prompt-backend-client\/\d+\.\d+\.\d+ bun\/\d/);
  });

  test("the CSRF token with what changes something, as it is at that time", async () => {
    let token: string | undefined = "first";
    const change: Step = (asked) => {
      token = "second";
      return badGateway(asked);
    };
    const { server, pb } = await against({ csrfToken: () => token }, change, created, ok, created);
    await using _ = server;
    const params = { repo: "owner/name", target_branch: "main" };
    await pb.sessions.create(params);
    await pb.health.check();
    token = undefined;
    await pb.sessions.delete(ID);
    expect(server.asked.map(({ method, headers }) => [method, headers["x-csrf-token"]])).toEqual([
      ["POST", "first"],
      ["POST", "second"],
      ["GET", undefined],
      ["DELETE", undefined],
    ]);
  });

  test("a fetch of one's own gets URL and options, and may be as rude as it likes", async () => {
    const calls: unknown[] = [];
    const own = Object.assign(
      async (url: unknown) => {
        calls.push(url);
        throw "a string";
      },
      { preconnect() {} },
    ) as unknown as typeof fetch;
    const pb = new PromptBackend({ baseUrl: "http://127.0.0.1:1/base/", fetch: own, ...SOON });
    expect(await failure(pb.health.check())).toMatchObject({ name: "ConnectionError", cause: "a string" });
    expect(calls).toEqual(Array(3).fill("http://127.0.0.1:1/base/health"));
  });
});
