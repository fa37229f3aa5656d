import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { effect } from "../../src/db/effect-tables.ts";
import { session } from "../../src/db/tables.ts";
import { performDue } from "../../src/pull-requests/effect-loop.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { rateLimited, refusal, secondaryLimited } from "../harness/github/replies.ts";
import { madeActs, pullRequestsOn } from "./fixture.ts";

const CREATE = /^POST .*\/pulls$/;
const LABEL = /^POST .*\/labels$/;
const never = new AbortController().signal;

describeEachDatabase("a host that limits its requests", (database) => {
  const { github, deps, seed, make, later, send } = pullRequestsOn(database);
  const effectOf = async (sessionId: string) => {
    const [row] = await database().orm.select().from(effect).where(eq(effect.sessionId, sessionId));
    if (!row) throw new Error("there is no effect");
    return row;
  };

  test.each([
    ["the limit of an hour", CREATE, rateLimited(1_200)],
    ["a secondary limit", CREATE, secondaryLimited(1_200)],
    ["a limit with a status of its own", CREATE, refusal(429, "No", { headers: { "retry-after": "1200" } })],
    ["a limit before it was asked for anything", /^GET .*\/pulls$/, secondaryLimited(1_200)],
  ])("%s: the reply says so, and the host is left alone for as long as it says", async (_name, at, limit) => {
    const { path, sessionId, repository } = await seed();
    github().once(at, limit);
    const { status, body } = await make(path);
    expect(status).toBe(200);
    expect(body).toMatchObject({ pull_request: null, effect: { status: "intended", attempts: 1 } });
    expect(body.message).toContain("limits the number of requests");
    expect(body.message).toContain("Retry after 20");
    expect(((await effectOf(sessionId)).dueAt?.getTime() ?? 0) - Date.now()).toBeGreaterThan(1_000_000);
    const asked = github().requests.length;
    await performDue(deps(), never);
    // Another call for it is no reason to ask the host.
    expect((await make(path)).body).toMatchObject({ pull_request: null, message: body.message });
    expect(github().requests).toHaveLength(asked);
    await later(sessionId);
    expect((await send("GET", path)).body.pull_request).toMatchObject({ number: 1 });
    expect((await make(path)).body.effect).toMatchObject({ status: "done", attempts: 2 });
    expect(repository.pulls).toHaveLength(1);
  });

  test("for longer than is tried has refused, and what is wanted again is tried again", async () => {
    const { path, repository } = await seed();
    github().once(CREATE, secondaryLimited(120));
    const refused = await make(path, undefined, { retryMs: 60_000 });
    expect(refused).toMatchObject({ status: 409, body: { code: "forge_refused" } });
    expect(refused.body.msg).toEndWith("It was tried once.");
    expect((await make(path)).body.pull_request).toMatchObject({ number: 1 });
    expect(repository.pulls).toHaveLength(1);
  });

  const LABELS = { labels: ["agent"], reviewers: [] };

  test("labels wait for its limit, and the pull request does not; whatever becomes of it meanwhile, no other is made", async () => {
    const { path, sessionId, repository, branch } = await seed();
    github().once(LABEL, secondaryLimited(120));
    const { body } = await make(path, undefined, LABELS);
    expect(body).toMatchObject({
      pull_request: { number: 1, state: "open" },
      effect: { status: "intended", result: { number: 1, url: body.pull_request.url } },
    });
    expect(body.message).toMatch(/^Labels or reviewers are missing\. \S+ limits the number of requests/);
    // It was merged, and the session has done more since.
    Object.assign(repository.pulls[0] ?? {}, { state: "closed", mergedAt: new Date().toISOString() });
    const commit = "c".repeat(40);
    repository.branches.set(branch, commit);
    await database().orm.update(session).set({ pushedCommit: commit }).where(eq(session.id, sessionId));
    await later(sessionId, LABELS);
    expect(repository.pulls).toMatchObject([{ number: 1, labels: ["agent"] }]);
    expect(await effectOf(sessionId)).toMatchObject({ status: "done", result: { number: 1 } });
    expect(await madeActs(database(), sessionId)).toMatchObject([{ adopted: false }]);
  });

  test("labels that it limits to the end are missing, and said to be; the pull request has not failed", async () => {
    const { path, sessionId } = await seed();
    for (const _ of [1, 2]) github().once(LABEL, secondaryLimited(120));
    await make(path, undefined, LABELS);
    await later(sessionId, { ...LABELS, retryMs: 60_000 });
    const reply = await make(path);
    expect(reply.status).toBe(200);
    expect(reply.body).toMatchObject({
      pull_request: { number: 1 },
      effect: {
        status: "done",
        result: {
          number: 1,
          notes: [expect.stringMatching(/^Labels or reviewers are missing.*tried 2 times\.$/)],
        },
      },
    });
  });

  test("a credential that may not make it is named, with the right that it lacks", async () => {
    const { path, repository } = await seed();
    const accepted = { "x-accepted-github-permissions": "pull_requests=write" };
    github().once(CREATE, refusal(403, "Resource not accessible by integration", { headers: accepted }));
    const { status, body } = await make(path);
    expect([status, body.code]).toEqual([409, "forge_refused"]);
    expect(body.msg).toContain("does not permit to create a pull request");
    expect(body.msg).toEndWith(" GITHUB_TOKEN needs the permission pull_requests=write.");
    github().once(CREATE, refusal(403, "No"));
    expect((await make(path)).body.msg).toContain('GITHUB_TOKEN has "Pull requests: read and write"');
    expect(repository.pulls).toEqual([]);
  });
});
