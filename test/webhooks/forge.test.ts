import { expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { eq } from "drizzle-orm";
import type { Database } from "../../src/db/client.ts";
import { pullRequest } from "../../src/db/effect-tables.ts";
import { session } from "../../src/db/tables.ts";
import { lookDue } from "../../src/pull-requests/effect-loop.ts";
import { ask, makeApp } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { addPull } from "../harness/github/state.ts";
import { downloadGithubDescriptions } from "../harness/github-description.ts";
import { startGithubStandIn } from "../harness/github-stand-in.ts";
import { seedSession } from "../harness/seed.ts";
import { COMMIT, effectDeps, pushedSession } from "../pull-requests/fixture.ts";

await downloadGithubDescriptions();

const SECRET = "a-secret-of-the-forges";
const never = new AbortController().signal;
const signed = (body: unknown, secret = SECRET) => ({
  "x-hub-signature-256": `sha256=${createHmac("sha256", secret).update(JSON.stringify(body)).digest("hex")}`,
});

/** A pull request that was kept a while ago. */
async function kept(database: Database, url: string, more: Partial<typeof pullRequest.$inferInsert> = {}) {
  const { sessionId } = await seedSession(database, 1);
  await database.orm.insert(pullRequest).values({
    ...{ sessionId, effectId: crypto.randomUUID(), number: 1, url, title: "A title", state: "open" },
    ...{ draft: false, base: "main", head: COMMIT, readAt: new Date(0), createdAt: new Date(0) },
    ...more,
  });
  return sessionId;
}

describeEachDatabase("webhooks of git hosts", (database) => {
  const deliver = (
    body: unknown,
    headers: Record<string, string> = signed(body),
    secret: string | null = SECRET,
  ) =>
    ask(
      makeApp({ database: database(), env: secret === null ? {} : { FORGE_WEBHOOK_SECRET: secret } }),
      undefined,
      "POST",
      "/webhook/forge",
      body,
      headers,
    );
  const isWanted = async (sessionId: string) => {
    const [row] = await database().orm.select().from(pullRequest).where(eq(pullRequest.sessionId, sessionId));
    return row?.lookAt !== null;
  };

  test.each([
    ["GitHub's", { action: "closed", pull_request: { html_url: "URL" } }],
    ["GitHub's of a comment", { issue: { pull_request: { html_url: "URL" } } }],
    ["GitLab's", { object_kind: "merge_request", object_attributes: { url: "URL" } }],
    ["GitLab's of a pipeline", { object_kind: "pipeline", merge_request: { url: "URL" } }],
    ["one of checks", { check_run: {}, repository: { html_url: "REPOSITORY" } }],
    ["GitLab's of a job", { object_kind: "build", project: { web_url: "REPOSITORY" } }],
  ])("%s event has the pull request that it is about read again, and no other", async (_, event) => {
    const repository = `https://git.example.com/own_er/${crypto.randomUUID()}`;
    const own = await kept(database(), `${repository}/pull/1`);
    const other = await kept(database(), `https://git.example.com/ownXer/${repository.slice(-36)}/pull/1`);
    const longer = await kept(database(), `${repository}-more/pull/1`);
    const text = JSON.stringify(event)
      .replace("URL", `${repository}/pull/1`)
      .replace("REPOSITORY", repository);
    const reply = await deliver(JSON.parse(text));
    expect(reply.body).toMatchObject({ success: true, message: "A pull request is read again" });
    expect([await isWanted(own), await isWanted(other), await isWanted(longer)]).toEqual([
      true,
      false,
      false,
    ]);
  });

  test("what is about no session, or about nothing, is answered and changes nothing", async () => {
    for (const body of [
      {},
      { zen: "x" },
      { pull_request: { html_url: 7 } },
      { repository: { html_url: "file:///" } },
    ]) {
      const reply = await deliver(body);
      expect([reply.status, reply.body.message]).toEqual([
        200,
        "No session has an open pull request that this is about",
      ]);
    }
  });

  test("without the secret nothing is accepted", async () => {
    const body = { pull_request: { html_url: "https://git.example.com/a/b/pull/1" } };
    const refused: Record<string, string>[] = [
      {},
      signed(body, "another-secret-of-forges"),
      signed({ ...body, more: 1 }),
      { "x-hub-signature-256": "sha256=" },
      { "x-gitlab-token": "another-secret-of-forges" },
      // Whoever signs is judged by the signature.
      { ...signed(body, "another-secret-of-forges"), "x-gitlab-token": SECRET },
    ];
    for (const headers of refused)
      expect((await deliver(body, headers)).body).toMatchObject({ code: "unauthorized" });
    expect((await deliver(body, { "x-gitlab-token": SECRET })).status).toBe(200);
    expect((await deliver(body, signed(body), null)).body).toMatchObject({ code: "webhooks_closed" });
  });

  test("what has changed is read from the host, whatever the body says, and a merge archives the session", async () => {
    const github = await startGithubStandIn();
    try {
      const { sessionId, branch, repository } = await pushedSession(database(), github);
      const pull = addPull(repository, { head: branch, base: "main" });
      const url = `${github.url}/${repository.path}/pull/${pull.number}`;
      await database()
        .orm.insert(pullRequest)
        .values({
          ...{
            sessionId,
            effectId: crypto.randomUUID(),
            number: pull.number,
            url,
            title: "A title",
            state: "open",
          },
          ...{ draft: false, base: "main", head: COMMIT, readAt: new Date(0), createdAt: new Date(0) },
        });
      const deps = effectDeps(database(), github.host(github.addToken()), { archiveWhen: "merged" });
      const read = async () => {
        await deliver({ pull_request: { html_url: url, merged: true, state: "closed" } });
        await lookDue(deps, never);
        const [row] = await database()
          .orm.select()
          .from(pullRequest)
          .where(eq(pullRequest.sessionId, sessionId));
        const [own] = await database().orm.select().from(session).where(eq(session.id, sessionId));
        return { state: row?.state, lookAt: row?.lookAt, status: own?.sessionStatus };
      };
      expect(await read()).toEqual({ state: "open", lookAt: null, status: "Active" });
      pull.state = "closed";
      pull.mergedAt = "2026-11-28T12:00:00Z";
      expect(await read()).toEqual({ state: "merged", lookAt: null, status: "Completed" });
    } finally {
      await github.stop();
    }
  });
});
