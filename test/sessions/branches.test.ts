import { expect, test } from "bun:test";
import { ask, makeApp } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";

// The unique index on (repo, branch) spanned users and deleted sessions: its 409 told of other users' branches, and let
// a user occupy names that others want.
describeEachDatabase("the branch of a session", (database) => {
  const send = (user: string, method: string, path: string, body?: unknown) =>
    ask(makeApp({ database: database() }), user, method, path, body);
  const create = async (user: string): Promise<string> =>
    (await send(user, "POST", "/sessions", { repo: "owner/name", target_branch: "main" })).body.id;
  const rename = (user: string, id: string, branch: string) =>
    send(user, "PUT", `/sessions/${id}`, { id, branch });

  test("is the user's own choice: another user's session with that name is not noticed", async () => {
    const branch = `feature/${crypto.randomUUID()}`;
    const [alices, bobs] = [await create("alice"), await create("bob")];
    expect((await rename("alice", alices, branch)).status).toBe(200);
    expect((await rename("bob", bobs, branch)).status).toBe(200);
  });

  test("is not one that another session of the user has, until that is deleted", async () => {
    const branch = `feature/${crypto.randomUUID()}`;
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
