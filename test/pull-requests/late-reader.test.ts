import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { pullRequest } from "../../src/db/effect-tables.ts";
import { session } from "../../src/db/tables.ts";
import { lookDue } from "../../src/pull-requests/effect-loop.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { pullRequestsOn } from "./fixture.ts";

const never = new AbortController().signal;

// A reply that was late used to replace what had been learned meanwhile, until the host was asked again.
describeEachDatabase("a reader whose host answers late", (database) => {
  const { github, deps, seed, make, send } = pullRequestsOn(database);
  const made = async () => {
    const seeded = await seed();
    const { path, sessionId } = seeded;
    await make(path);
    const row = eq(pullRequest.sessionId, sessionId);
    await database()
      .orm.update(pullRequest)
      .set({ readAt: new Date(0) })
      .where(row);
    const answered = Promise.withResolvers<void>();
    const held = Promise.withResolvers<void>();
    github().once(/^GET .*\/pulls\/1$/, async (_request, proceed) => {
      const reply = await proceed();
      answered.resolve();
      await held.promise;
      return reply;
    });
    const late = send("GET", path);
    await answered.promise;
    return {
      ...seeded,
      /** Lets the reader have its reply. @returns what is shown then. */
      async release() {
        held.resolve();
        await late;
        return (await send("GET", path)).body.pull_request;
      },
    };
  };

  test("does not take back a merge", async () => {
    const { sessionId, release } = await made();
    expect((await make(`/sessions/${sessionId}/merge`)).body.pull_request).toMatchObject({ state: "merged" });
    expect(await release()).toMatchObject({ state: "merged" });
  });

  test("and was asked while the host merged does not, either", async () => {
    const { path, sessionId } = await seed();
    await make(path);
    github().once(/^PUT .*\/merge$/, async (_request, proceed) => {
      await database()
        .orm.update(pullRequest)
        .set({ lookAt: new Date(0) })
        .where(eq(pullRequest.sessionId, sessionId));
      await lookDue(deps(), never);
      return proceed();
    });
    expect((await make(`/sessions/${sessionId}/merge`)).body.pull_request).toMatchObject({ state: "merged" });
  });

  test("does not bring back the pull request before", async () => {
    const { path, sessionId, repository, branch, release } = await made();
    const { orm } = database();
    const commit = "c".repeat(40);
    Object.assign(repository.pulls[0] ?? {}, { state: "closed" });
    repository.branches.set(branch, commit);
    await orm.update(session).set({ pushedCommit: commit }).where(eq(session.id, sessionId));
    await orm.update(pullRequest).set({ state: "closed" }).where(eq(pullRequest.sessionId, sessionId));
    expect((await make(path)).body.pull_request).toMatchObject({ number: 2 });
    expect(await release()).toMatchObject({ number: 2, state: "open" });
  });

  test("keeps what it has learned where nobody has asked since", async () => {
    const { repository, release } = await made();
    Object.assign(repository.pulls[0] ?? {}, { title: "Another" });
    expect(await release()).toMatchObject({ number: 1, title: "A session" });
  });
});
