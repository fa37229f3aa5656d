import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { session } from "../../src/db/tables.ts";
import { ask, makeApp, senderOf } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";

// The unique index on (repo, branch) spanned users and deleted sessions: its 409 told of other users' branches, and let
// a user occupy names that others want.
describeEachDatabase("the branch of a session", (database) => {
  const send = senderOf(database);
  const create = async (user: string): Promise<string> =>
    (await send(user, "POST", "/sessions", { repo: "owner/name", target_branch: "main" })).body.id;
  const rename = (user: string, id: string, branch: string) =>
    send(user, "PUT", `/sessions/${id}`, { id, branch });

  test("is the user's own choice: another user's session with that name is not noticed", async () => {
    const branch = `prompt/${crypto.randomUUID()}`;
    const [alices, bobs] = [await create("alice"), await create("bob")];
    expect((await rename("alice", alices, branch)).status).toBe(200);
    expect((await rename("bob", bobs, branch)).status).toBe(200);
  });

  // S6: with another target_branch first, branch=main was accepted, and the work was pushed to main.
  test.each([
    [{ target_branch: "dev" }, { branch: "main" }],
    [{ target_branch: "dev", branch: "main" }],
    [{ branch: "release/1" }],
    [{ target_branch: "prompt/stacked" }, { branch: "prompt/stacked" }],
    [{ branch: "prompt/stacked" }, { target_branch: "prompt/stacked" }],
  ])("never becomes one that the session does not make: %j %j", async (...changes) => {
    const id = await create("alice");
    const before = (await send("alice", "GET", `/sessions/${id}`)).body.session;
    const replies = [];
    for (const change of changes)
      replies.push(await send("alice", "PUT", `/sessions/${id}`, { id, ...change }));
    expect(replies.at(-1)).toMatchObject({ status: 422, body: { err: "invalid", code: "invalid_branch" } });
    const { branch, targetBranch } = (await send("alice", "GET", `/sessions/${id}`)).body.session;
    expect(branch).toStartWith("prompt/");
    expect(branch).not.toBe(targetBranch);
    expect(before.branch).toStartWith("prompt/");
  });

  test("of an older session is read and sent back unchanged, whatever its name is", async () => {
    const id = await create("alice");
    await database()
      .orm.update(session)
      .set({ branch: `old-${id}` })
      .where(eq(session.id, id));
    expect((await rename("alice", id, `old-${id}`)).status).toBe(200);
    expect((await rename("alice", id, `older-${id}`)).status).toBe(422);
  });

  // A client that changed another field was told that a branch which it had not sent is wrong.
  test("of an older session stays when its repository or target branch is changed", async () => {
    const id = await create("alice");
    const branch = `old-${id}`;
    await database().orm.update(session).set({ branch }).where(eq(session.id, id));
    const put = (change: object) => send("alice", "PUT", `/sessions/${id}`, { id, ...change });
    expect((await put({ target_branch: "dev" })).status).toBe(200);
    expect((await put({ repo: "owner/other" })).status).toBe(200);
    expect((await put({ target_branch: branch })).status).toBe(422);
    const changed = (await send("alice", "GET", `/sessions/${id}`)).body.session;
    expect(changed).toMatchObject({ branch, repo: "owner/other", targetBranch: "dev" });
  });

  test("begins with BRANCH_PREFIX", async () => {
    const app = makeApp({ database: database(), env: { BRANCH_PREFIX: "ai/" } });
    const { body } = await ask(app, "alice", "POST", "/sessions", {
      repo: "owner/name",
      target_branch: "main",
    });
    expect((await send("alice", "GET", `/sessions/${body.id}`)).body.session.branch).toStartWith("ai/");
  });

  test("is not one that another session of the user has, until that is deleted", async () => {
    const branch = `prompt/${crypto.randomUUID()}`;
    const [first, second] = [await create("alice"), await create("alice")];
    expect((await rename("alice", first, branch)).status).toBe(200);
    expect(await rename("alice", second, branch)).toMatchObject({
      status: 409,
      body: { err: "conflict", code: "branch_taken" },
    });
    expect((await send("alice", "DELETE", `/sessions/${first}`)).status).toBe(200);
    expect((await rename("alice", second, branch)).status).toBe(200);
  });
});
