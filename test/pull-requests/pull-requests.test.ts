import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { pullRequest } from "../../src/db/effect-tables.ts";
import { session } from "../../src/db/tables.ts";
import { ask, makeApp } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { rateLimited } from "../harness/github/replies.ts";
import { sessionRow } from "../harness/seed.ts";
import { madeActs, performing, pullRequestsOn } from "./fixture.ts";

describeEachDatabase("the pull request of a session", (database) => {
  const { github, send, deps, seed, make, later } = pullRequestsOn(database);
  const creations = () =>
    github().requests.filter(({ method, path }) => method === "POST" && /pulls$/.test(path)).length;

  test("is made of what was asked and done; a repetition, also at the same time, is answered with it", async () => {
    const { path, repository, branch } = await seed(["Fix the login", "Done: @ada, fixes #1"]);
    const replies = await performing(deps(), Promise.all([1, 2, 3].map(() => send("POST", path))));
    for (const { status, body } of replies) {
      expect(status).toBe(200);
      expect(body).toMatchObject({
        pull_request: { number: 1, state: "open", draft: false, base: "main" },
        effect: { kind: "pull_request", status: "done", result: { number: 1 } },
      });
    }
    expect((await make(path, { title: "Another" })).body.pull_request).toMatchObject({ title: "A session" });
    expect(repository.pulls).toHaveLength(1);
    const [pull] = repository.pulls;
    expect(pull).toMatchObject({ head: branch, base: "main", title: "A session" });
    expect(pull?.body).toContain("> Fix the login");
    expect(pull?.body).toContain("https://agents.example.com/sessions/");
    expect(pull?.body).not.toContain("@ada");
    expect(pull?.body).not.toContain("#1");
    expect((await send("GET", path, undefined, "bob")).status).toBe(404);
  });

  test("is not merged through the service where the operator has turned that off", async () => {
    const { path, repository } = await seed();
    expect((await make(path)).status).toBe(200);
    const closed = makeApp({ database: database(), env: { MERGE: "off" } });
    const merge = path.replace(/pull-request$/, "merge");
    const { status, body } = await ask(closed, "alice", "POST", merge);
    expect([status, body.code]).toEqual([403, "merging_closed"]);
    expect(body.msg).toContain("MERGE=off");
    expect(repository.pulls[0]?.mergedAt).toBeNull();
  });

  test("one that was made by hand is taken, also if that happens at the moment of the call", async () => {
    const { path, sessionId, repository, branch } = await seed();
    const before = creations();
    github().once(/^POST .*pulls$/, async (_request, proceed) => {
      await proceed();
      return proceed();
    });
    expect((await make(path)).body.pull_request).toMatchObject({ number: 1 });
    expect(repository.pulls).toHaveLength(1);
    expect(creations() - before).toBe(1);
    expect(repository.pulls[0]?.head).toBe(branch);
    expect(await madeActs(database(), sessionId)).toMatchObject([{ adopted: true }]);
  });

  test("one whose result is lost is found again", async () => {
    const { path, sessionId, repository } = await seed();
    github().once(/^POST .*pulls$/, async (_request, proceed) => {
      await proceed();
      return { status: 502, body: { message: "Bad Gateway" } };
    });
    const first = await make(path);
    if (first.body.pull_request === null) {
      expect(first.body.effect.status).toBe("uncertain");
      await later(sessionId);
    }
    expect((await make(path)).body.pull_request).toMatchObject({ number: 1 });
    expect(repository.pulls).toHaveLength(1);
  });

  test("what the host refuses has failed with the reason, and is tried again when it is wanted again", async () => {
    const { path, repository, branch } = await seed();
    repository.branches.delete(branch);
    const refused = await make(path);
    expect(refused).toMatchObject({ status: 409, body: { code: "forge_refused" } });
    repository.branches.set(branch, "a".repeat(40));
    expect((await make(path)).body.pull_request).toMatchObject({ number: 1 });
  });

  test("needs a branch that was pushed, and a host with a credential", async () => {
    const { path, sessionId } = await seed();
    const { orm } = database();
    await orm.update(session).set({ pushedCommit: null }).where(eq(session.id, sessionId));
    expect(await send("POST", path)).toMatchObject({ status: 409, body: { code: "branch_not_pushed" } });
    await orm.update(session).set({ repo: "https://else.example/a/b" }).where(eq(session.id, sessionId));
    expect(await send("POST", path)).toMatchObject({ status: 409, body: { code: "forge_unknown" } });
  });

  test("once it is merged and the branch has more, another is made", async () => {
    const { path, sessionId, repository, branch } = await seed();
    await make(path);
    Object.assign(repository.pulls[0] ?? {}, { state: "closed", mergedAt: new Date().toISOString() });
    const { orm } = database();
    await orm
      .update(pullRequest)
      .set({ readAt: new Date(0) })
      .where(eq(pullRequest.sessionId, sessionId));
    expect((await send("GET", path)).body.pull_request).toMatchObject({ number: 1, state: "merged" });
    expect(await sessionRow(database(), sessionId)).toMatchObject({ sessionStatus: "Completed" });
    // What its user has taken up again stays so.
    await send("PUT", `/sessions/${sessionId}`, { id: sessionId, ui_status: "NeedsReview" });
    await orm
      .update(pullRequest)
      .set({ readAt: new Date(0) })
      .where(eq(pullRequest.sessionId, sessionId));
    await send("GET", path);
    expect(await sessionRow(database(), sessionId)).toMatchObject({ sessionStatus: "Active" });
    expect((await make(path)).body.pull_request).toMatchObject({ number: 1 });
    const commit = "c".repeat(40);
    repository.branches.set(branch, commit);
    await orm.update(session).set({ pushedCommit: commit }).where(eq(session.id, sessionId));
    expect((await make(path)).body.pull_request).toMatchObject({ number: 2, state: "open" });
  });

  test("what is shown is what was known when the host does not answer", async () => {
    const { path, sessionId } = await seed();
    await make(path);
    expect((await send("GET", path)).body).toMatchObject({ pull_request: { number: 1 }, problem: null });
    const { orm } = database();
    await orm
      .update(pullRequest)
      .set({ readAt: new Date(0) })
      .where(eq(pullRequest.sessionId, sessionId));
    github().once(/^GET .*pulls\/1$/, rateLimited(60));
    const { body } = await send("GET", path);
    expect(body).toMatchObject({ pull_request: { number: 1 }, problem: expect.stringContaining("limit") });
  });

  test("is merged once, at the head that was seen", async () => {
    const { path, sessionId, repository, branch } = await seed();
    const merge = `/sessions/${sessionId}/merge`;
    expect(await send("POST", merge)).toMatchObject({
      status: 404,
      body: { code: "pull_request_not_found" },
    });
    const seen = (await make(path)).body.pull_request.head;
    const [pull] = repository.pulls;
    Object.assign(pull ?? {}, { commit: "d".repeat(40) });
    repository.branches.set(branch, "d".repeat(40));
    expect(await make(merge)).toMatchObject({ status: 409, body: { code: "pull_request_not_mergeable" } });
    // Somebody else has looked meanwhile, so that the service knows the new head.
    expect(await send("POST", merge, { head: seen })).toMatchObject({
      ...{ status: 409, body: { code: "pull_request_not_mergeable" } },
    });
    const replies = await performing(deps(), Promise.all([send("POST", merge), send("POST", merge)]));
    for (const { body } of replies) expect(body).toMatchObject({ pull_request: { state: "merged" } });
    expect((await make(merge)).body).toMatchObject({ success: true, pull_request: { state: "merged" } });
    const merges = github().requests.filter(
      ({ method, path: at }) => method === "PUT" && at.includes(repository.path) && at.endsWith("/merge"),
    );
    expect(merges).toHaveLength(1);
  });
});
