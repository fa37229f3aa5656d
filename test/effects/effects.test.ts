import { expect, test } from "bun:test";
import { LeaseLost } from "../../src/lifecycle/fence.ts";
import { ask, makeApp } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { EXPIRED_MS, mustClaim, seedRun, sessionRow, writerOf } from "../harness/seed.ts";

const COMMIT = "a".repeat(40);
const TARGET = "https://github.com/owner/name#prompt/fix";

describeEachDatabase("GET /sessions/{id}/effects", (database) => {
  const get = (path: string, user = "alice", headers?: Record<string, string>) =>
    ask(makeApp({ database: database() }), user, "GET", path, undefined, headers);
  const seed = async (lease?: Parameters<typeof seedRun>[1]) => {
    const run = await seedRun(database(), lease);
    return { run, path: `/sessions/${run.sessionId}/effects`, writer: writerOf(database().orm, run) };
  };

  test("a push is written down before it is made, and after; to its owner alone", async () => {
    const { run, path, writer } = await seed();
    expect((await get(path)).body).toEqual({ effects: [] });
    await writer.recordPush(COMMIT, TARGET);
    expect(await sessionRow(database(), run.sessionId)).toMatchObject({ pushedCommit: COMMIT });
    const [written] = (await get(path)).body.effects;
    expect(written).toMatchObject({
      kind: "push",
      target: TARGET,
      status: "intended",
      attempts: 1,
      prompt_id: run.promptId,
      request: { commit: COMMIT },
      result: null,
    });
    await writer.settlePush(COMMIT, undefined);
    expect((await get(path)).body.effects).toMatchObject([{ id: written.id, status: "done", result: null }]);
    expect((await get(path, "somebody-else")).status).toBe(404);
  });

  test("pages, in the order in which they were written down, and 304 while nothing changes", async () => {
    const { path, writer } = await seed();
    for (const commit of ["a", "b", "c"]) await writer.recordPush(commit.repeat(40), TARGET);
    const all = (await get(path)).body.effects;
    expect(all.map(({ request }: { request: { commit: string } }) => request.commit[0])).toEqual([
      "a",
      "b",
      "c",
    ]);
    const first = await get(`${path}?limit=2`);
    const second = await get(`${path}?limit=2&cursor=${first.body.next_cursor}`);
    expect([...first.body.effects, ...second.body.effects]).toEqual(all);
    expect(second.body.next_cursor).toBeNull();
    expect((await get(`${path}?cursor=eA`)).status).toBe(422);
    const known = { "if-none-match": String((await get(path)).headers.get("etag")) };
    expect((await get(path, "alice", known)).status).toBe(304);
    await writer.settlePush("c".repeat(40), "refused");
    expect((await get(path, "alice", known)).status).toBe(200);
  });

  test("once nobody is left who would learn its result, it is uncertain; the next run that looks tells", async () => {
    const { run, path, writer } = await seed({ ttlMs: EXPIRED_MS });
    await writer.recordPush(COMMIT, TARGET);
    expect((await get(path)).body.effects).toMatchObject([{ status: "uncertain" }]);
    const next = writerOf(database().orm, await mustClaim(database(), run.promptId));
    // It has not looked yet.
    expect((await get(path)).body.effects).toMatchObject([{ status: "uncertain" }]);
    await next.settlePush(COMMIT, "It was not there.");
    expect((await get(path)).body.effects).toMatchObject([
      { status: "failed", result: { reason: "It was not there." } },
    ]);
    await next.recordPush(COMMIT, TARGET);
    expect((await get(path)).body.effects).toMatchObject([{ status: "intended", attempts: 2, result: null }]);
    await next.settlePush(COMMIT, undefined);
    expect((await get(path)).body.effects).toMatchObject([{ status: "done" }]);
    // The branch may be deleted later: the push was made nevertheless.
    await next.settlePush(COMMIT, "It was not there.");
    expect((await get(path)).body.effects).toMatchObject([{ status: "done" }]);
  });

  test("a push to a branch that is somebody else's has failed, and the branch is not the session's", async () => {
    const { run, path, writer } = await seed();
    await writer.recordPush(COMMIT, TARGET);
    await writer.disownPush(COMMIT, "It is another's.");
    expect((await get(path)).body.effects).toMatchObject([
      { status: "failed", result: { reason: "It is another's." } },
    ]);
    expect(await sessionRow(database(), run.sessionId)).toMatchObject({ pushedCommit: null });
  });

  test("the first commit of an empty repository is written down as every push is, and is not the session's branch", async () => {
    const { run, path, writer } = await seed();
    const pushed = async () => (await sessionRow(database(), run.sessionId))?.pushedCommit;
    const first = "f".repeat(40);
    const main = "https://github.com/owner/name#main";
    await writer.recordPush(first, main, { first: true });
    expect(await pushed()).toBeNull();
    await writer.recordPush(COMMIT, TARGET);
    await writer.settlePush(first, undefined, { first: true });
    expect(await pushed()).toBe(COMMIT);
    expect((await get(path)).body.effects).toMatchObject([
      { target: main, status: "done", request: { commit: first } },
      { target: TARGET, status: "intended" },
    ]);
  });

  test("a superseded run writes nothing", async () => {
    const { run, path, writer } = await seed({ ttlMs: EXPIRED_MS });
    await mustClaim(database(), run.promptId);
    for (const late of [
      () => writer.recordPush(COMMIT, TARGET),
      () => writer.settlePush(COMMIT, undefined),
      () => writer.disownPush(COMMIT, "another's"),
    ])
      await expect(late()).rejects.toBeInstanceOf(LeaseLost);
    expect((await get(path)).body).toEqual({ effects: [] });
  });
});
