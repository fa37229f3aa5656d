import { describe, expect, test } from "bun:test";
import { against, badGateway, failure, sdk } from "./client.ts";
import { json, type Step, text } from "./scripted-server.ts";

describe("responses", () => {
  test("withResponse, asResponse: the body is not read yet", async () => {
    const { server, pb } = await against(
      {},
      json({ status: "ok" }, "200 OK", { "x-request-id": "r2", etag: '"1"' }),
    );
    await using _ = server;
    const { data, response, requestId } = await pb.health.check().withResponse();
    expect([data, requestId, response.headers.get("etag")]).toEqual([{ status: "ok" }, "r2", '"1"']);
    expect(await response.json()).toEqual({ status: "ok" });
    const call = pb.health.check();
    expect(await (await call.asResponse()).json()).toEqual({ status: "ok" });
    expect(await (await call.asResponse()).text()).toBe('{"status":"ok"}');
    expect(await call).toEqual({ status: "ok" });
    expect(call.then(() => 1)).not.toBeInstanceOf(sdk.APIPromise);
  });

  test("text, where it is no JSON", async () => {
    const pem = "-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n";
    const { server, pb } = await against({}, text("200 OK", "text/plain", pem));
    await using _ = server;
    expect(await pb.sessions.provenanceKey()).toBe(pem);
  });

  test("pages: awaited, by page, and by item", async () => {
    const page = (ids: string[], next_cursor: string | null): Step =>
      json({ sessions: ids.map((id) => ({ id })), next_cursor });
    const all = [page(["a", "b"], "2"), page([], "3"), page(["c"], null)] as const;
    const { server, pb } = await against({}, ...all, ...all, ...all);
    await using _ = server;

    const ids: string[] = [];
    for await (const { id } of pb.sessions.list({ repo: "owner/name" })) ids.push(id);
    expect(ids).toEqual(["a", "b", "c"]);
    expect(server.asked.map(({ path }) => path)).toEqual([
      "/sessions?limit=100&repo=owner%2Fname",
      "/sessions?limit=100&repo=owner%2Fname&cursor=2",
      "/sessions?limit=100&repo=owner%2Fname&cursor=3",
    ]);

    const first = await pb.sessions.list();
    expect([first.data.map(({ id }) => id), first.nextCursor, first.hasNextPage()]).toEqual([
      ["a", "b"],
      "2",
      true,
    ]);
    const last = await (await first.getNextPage()).getNextPage();
    expect([last.data.map(({ id }) => id), last.hasNextPage()]).toEqual([["c"], false]);
    expect(() => last.getNextPage()).toThrow("This is the last page");

    const sizes: number[] = [];
    for await (const { data } of (await pb.sessions.list({ limit: 2 })).iterPages()) sizes.push(data.length);
    expect(sizes).toEqual([2, 0, 1]);
    expect(server.asked[6]?.path).toBe("/sessions?limit=2");
  });

  test("an error on a later page ends the loop", async () => {
    const { server, pb } = await against(
      { maxRetries: 0 },
      json({ sessions: [{ id: "a" }], next_cursor: "2" }),
      badGateway,
    );
    await using _ = server;
    const ids: string[] = [];
    const loop = async () => {
      for await (const { id } of pb.sessions.list()) ids.push(id);
    };
    expect(await failure(loop())).toMatchObject({ status: 502 });
    expect(ids).toEqual(["a"]);
  });
});
