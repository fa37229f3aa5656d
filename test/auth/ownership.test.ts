import { expect, test } from "bun:test";
import { eq, sql } from "drizzle-orm";
import { attachment } from "../../src/db/attachment-tables.ts";
import { project } from "../../src/db/project-tables.ts";
import { comment } from "../../src/db/review-tables.ts";
import { provenance } from "../../src/db/safety-tables.ts";
import { modelUsage } from "../../src/db/spend-tables.ts";
import { deadLetter, message, prompt, session } from "../../src/db/tables.ts";
import { permissionRequest } from "../../src/db/talk-tables.ts";
import { openReviews } from "../../src/review/reviews.ts";
import { ask, makeApp } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { documentOf, guarded, type Route, type Schema } from "../harness/guarded.ts";
import { seedSession } from "../harness/seed.ts";
import { emptyRepositories } from "../review/fixture.ts";

const guard = guarded();
const { here } = guard;

describeEachDatabase("what another user owns", (database) => {
  /** One of each, owned by alice, in a session without a run, so that everything could be changed. */
  async function alices() {
    const { sessionId, promptIds } = await seedSession(database(), 2);
    const [messageId, letterId, commentId] = [Bun.randomUUIDv7(), Bun.randomUUIDv7(), Bun.randomUUIDv7()];
    const promptId = promptIds[0] ?? "";
    const { orm } = database();
    await orm.insert(message).values({
      id: messageId,
      promptId,
      sessionId,
      seq: 1,
      data: { type: "assistant", uuid: messageId },
    });
    await orm.insert(deadLetter).values({
      id: letterId,
      taskType: "prompt-run",
      entityId: promptId,
      userId: "alice",
      entityData: { prompt_id: promptId },
      lastError: "it did not work",
    });
    // A real envelope is in test/provenance.
    const envelope = JSON.stringify({ payloadType: "x", payload: "", signatures: [{ keyid: "", sig: "" }] });
    await orm.insert(provenance).values({ id: Bun.randomUUIDv7(), sessionId, promptId, keyId: "", envelope });
    await orm.insert(comment).values({
      id: commentId,
      sessionId,
      path: "a.ts",
      commit: "0".repeat(40),
      side: "new",
      text: "Why?",
      code: "",
    });
    const [projectId, attachmentId, questionId] = [
      Bun.randomUUIDv7(),
      Bun.randomUUIDv7(),
      Bun.randomUUIDv7(),
    ];
    await orm
      .insert(project)
      .values({ id: projectId, userId: "alice", repo: "owner/one", repoKey: projectId });
    await orm.insert(attachment).values({
      ...{ id: attachmentId, promptId, position: 0, kind: "file", name: "a.txt", mediaType: "text/plain" },
      // The control reads replies as JSON.
      ...{ bytes: new TextEncoder().encode("{}"), sha256: "" },
    });
    await orm.insert(permissionRequest).values({
      ...{ id: questionId, requestId: crypto.randomUUID(), promptId, sessionId, tool: "Bash", input: {} },
      expiresAt: sql`now() + interval '1 hour'`,
    });
    await orm.insert(modelUsage).values({
      ...{ day: new Date().toISOString().slice(0, 10), userId: "alice", sessionId, promptId, calls: 1 },
      ...{ repo: "owner/one", agent: "claude", model: "claude-sonnet-4-5" },
    });
    return {
      session: sessionId,
      prompt: promptId,
      message: messageId,
      letter: letterId,
      comment: commentId,
      project: projectId,
      attachment: attachmentId,
      question: questionId,
    };
  }
  type Things = Awaited<ReturnType<typeof alices>>;

  const inPath = (things: Things): Record<string, string> => ({
    sessions: things.session,
    prompts: things.prompt,
    messages: things.message,
    "dead-letter-queue": things.letter,
    comments: things.comment,
    projects: things.project,
    attachments: things.attachment,
    permissions: things.question,
  });
  const idOf = (route: Route, things: Things): string => {
    const room = route.path.split("/")[1] ?? "";
    const id = inPath(things)[room];
    if (!id) throw new Error(`Teach this test whose ids stand in ${route.path}.`);
    return id;
  };

  /** A body that the schema accepts, with alice's ids wherever there is one. */
  function bodyOf(
    schema: Schema,
    schemas: Record<string, Schema>,
    own: string,
    things: Things,
    name = "",
  ): unknown {
    if (schema.$ref)
      return bodyOf(schemas[schema.$ref.split("/").pop() ?? ""] ?? {}, schemas, own, things, name);
    const known: Record<string, unknown> = {
      session_id: things.session,
      parent: things.session,
      parent_id: things.session,
      prompt_id: things.prompt,
      id: own,
      repo: "owner/name",
      target_branch: "main",
      messages: [{ content: "go" }],
      path: "a.ts",
      commit: "0".repeat(40),
      side: "new",
      text: "Why?",
      decision: "allow",
      budget_usd: 5,
      data: { type: "assistant", uuid: "u", content: "go" },
    };
    if (name in known) return known[name];
    if (schema.anyOf?.[0]) return bodyOf(schema.anyOf[0], schemas, own, things, name);
    if (schema.enum) return schema.enum.find((one) => one !== null);
    if (schema.properties)
      return Object.fromEntries(
        Object.entries(schema.properties)
          // Only ids matter here; fields that are valid only together with others are left out.
          .filter(([key]) => key in known || schema.properties?.[key]?.format === "uuid")
          .map(([key, one]) => [key, bodyOf(one, schemas, own, things, key)]),
      );
    return schema.example ?? (schema.type === "array" ? [] : "x");
  }

  async function setUp() {
    const things = await alices();
    const reviews = openReviews({ orm: database().orm, sandboxes: emptyRepositories });
    const app = makeApp({ database: database(), reviews, ...guard.options() });
    const tokens = Object.fromEntries(
      await Promise.all(
        ["alice", "bob", "root"].map(async (sub) => [
          sub,
          await here.issuer.token(here.key, {
            sub,
            ...(sub === "root" && { realm_access: { roles: ["admin"] } }),
          }),
        ]),
      ),
    );
    return { things, app, tokens, ...(await documentOf(app)) };
  }
  /** Everything that alice owns, from the tables. */
  const everything = async (things: Things) => {
    const { orm } = database();
    return {
      session: await orm.select().from(session).where(eq(session.id, things.session)),
      prompts: await orm.select().from(prompt).where(eq(prompt.sessionId, things.session)),
      messages: await orm.select().from(message).where(eq(message.sessionId, things.session)),
      comments: await orm.select().from(comment).where(eq(comment.sessionId, things.session)),
      projects: await orm.select().from(project).where(eq(project.id, things.project)),
      questions: await orm.select().from(permissionRequest).where(eq(permissionRequest.id, things.question)),
      letters: await orm.select().from(deadLetter).where(eq(deadLetter.id, things.letter)),
    };
  };

  test("does not exist: every operation with an id in its path or body answers 404 and changes nothing", async () => {
    const { things, app, tokens, secured, schemas } = await setUp();
    const before = await everything(things);
    const asked: string[] = [];
    for (const route of secured) {
      const { method, path, operation } = route;
      const hasId = path.includes("{");
      const own = hasId ? idOf(route, things) : "";
      const schema = operation.requestBody?.content["application/json"]?.schema;
      const body = schema && bodyOf(schema, schemas, own, things);
      const names = Object.values(things).some((id) => JSON.stringify(body ?? "").includes(id));
      if (!hasId && !names) continue;
      asked.push(operation.operationId);
      const reply = await ask(app, tokens["bob"], method, path.replace(/\{\w+\}/, own), body);
      const { err, code } = reply.body;
      expect({ route: `${method} ${path}`, status: reply.status, err, code }).toEqual({
        route: `${method} ${path}`,
        status: 404,
        err: "not_found",
        code: expect.stringMatching(
          /^(session|parent_session|prompt|message|dead_letter|comment|project|attachment|permission)_not_found$/,
        ),
      });
    }
    expect(await everything(things)).toEqual(before);
    expect(asked).toContain("handlers_sessions_read");
    expect(asked).toContain("handlers_prompts_create");
    // The control: alice can read it.
    for (const route of secured.filter(({ method, path }) => method === "GET" && path.includes("{"))) {
      if (route.operation.responses["200"]?.content?.["text/event-stream"]) continue;
      const path = route.path.replace(/\{\w+\}/, idOf(route, things));
      const { status, body } = await ask(app, tokens["alice"], "GET", path);
      // It is hers, but here are no repositories.
      if (body?.code === "repository_unreadable") continue;
      expect([route.path, status]).toEqual([route.path, 200]);
    }
  });

  test("is in no list; an admin sees the dead letters of all users, and nothing else of theirs", async () => {
    const { things, app, tokens, secured } = await setUp();
    const lists = secured.filter(
      ({ method, path, operation }) =>
        method === "GET" &&
        !path.includes("{") &&
        // About a repository, whoever asks, and not about a user.
        path !== "/repositories/branches" &&
        !operation.responses["200"]?.content?.["text/event-stream"],
    );
    expect(lists.map(({ path }) => path)).toContain("/sessions");
    for (const { path } of lists) {
      const seenBy = async (user: string) => {
        // Other groups name no session.
        const query = path === "/usage" ? "?group_by=session" : "";
        const { status, body } = await ask(app, tokens[user], "GET", path + query);
        const forAdmins = ["/audit", "/system/status"].includes(path);
        expect([path, status]).toEqual([path, forAdmins && user !== "root" ? 403 : 200]);
        return Object.values(things).some((id) => JSON.stringify(body).includes(id));
      };
      const isDeadLetters = path.startsWith("/dead-letter-queue");
      expect([path, await seenBy("bob"), await seenBy("root")]).toEqual([path, false, isDeadLetters]);
      if (isDeadLetters || ["/sessions", "/usage"].includes(path))
        expect([path, await seenBy("alice")]).toEqual([path, true]);
    }
  });
});
