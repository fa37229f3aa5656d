import { expect, test } from "bun:test";
import type { EgressRow } from "../../src/egress/records.ts";
import { ask, makeApp } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { EXPIRED_MS, mustClaim, seedRun, sessionRow, writerOf } from "../harness/seed.ts";

const rowOf = (host: string, more: Partial<EgressRow> = {}): EgressRow => ({
  host,
  port: 443,
  decision: "refused",
  rule: "EGRESS=deny",
  count: 1,
  firstAt: new Date(1_000),
  lastAt: new Date(2_000),
  ...more,
});

describeEachDatabase("GET /sessions/{id}/egress", (database) => {
  const get = (user: string, path: string, headers?: Record<string, string>) =>
    ask(makeApp({ database: database() }), user, "GET", path, undefined, headers);
  const seed = async () => {
    const run = await seedRun(database());
    const owner = String((await sessionRow(database(), run.sessionId))?.userId);
    return { run, owner, path: `/sessions/${run.sessionId}/egress`, writer: writerOf(database().orm, run) };
  };

  test("lists what was asked for, in pages, to its owner alone", async () => {
    const { run, owner, path, writer } = await seed();
    expect((await get(owner, path)).body).toEqual({ requests: [] });
    await writer.recordEgress([rowOf("a.example"), rowOf("b.example", { decision: "allowed" })], []);
    await writer.recordEgress([rowOf("c.example", { port: 80 })], []);
    const { body } = await get(owner, path);
    expect(body.requests[0]).toEqual({
      host: "a.example",
      port: 443,
      decision: "refused",
      rule: "EGRESS=deny",
      count: 1,
      first_at: new Date(1_000).toISOString(),
      last_at: new Date(2_000).toISOString(),
      prompt_id: run.promptId,
    });
    const first = await get(owner, `${path}?limit=2`);
    const second = await get(owner, `${path}?limit=2&cursor=${first.body.next_cursor}`);
    expect([...first.body.requests, ...second.body.requests]).toEqual(body.requests);
    expect(second.body.next_cursor).toBeNull();
    expect((await get("somebody-else", path)).status).toBe(404);
    expect((await get(owner, `${path}?cursor=eA`)).status).toBe(422);
  });

  test("is unchanged until a count changes", async () => {
    const { owner, path, writer } = await seed();
    await writer.recordEgress([rowOf("a.example")], []);
    const { headers } = await get(owner, path);
    const known = { "if-none-match": String(headers.get("etag")) };
    expect((await get(owner, path, known)).status).toBe(304);
    await writer.recordEgress([rowOf("a.example", { count: 2 })], []);
    const changed = await get(owner, path, known);
    expect(changed.status).toBe(200);
    expect(changed.body.requests).toMatchObject([{ host: "a.example", count: 2 }]);
  });

  test("a repeated write changes nothing, and a superseded run writes nothing", async () => {
    const old = await seedRun(database(), { ttlMs: EXPIRED_MS });
    const writer = writerOf(database().orm, old);
    await writer.recordEgress([rowOf("a.example", { count: 5 })], []);
    await writer.recordEgress([rowOf("a.example", { count: 5 })], []);
    expect(await writer.readEgress()).toEqual([rowOf("a.example", { count: 5 })]);
    await mustClaim(database(), old.promptId);
    const late = writer.recordEgress([rowOf("b.example")], [{ type: "assistant" }]);
    await expect(late).rejects.toThrow("another runner has taken this prompt over");
    expect(await writer.readEgress()).toHaveLength(1);
  });
});
