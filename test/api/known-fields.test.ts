import { describe, expect, test } from "bun:test";
import { asc, eq, sql } from "drizzle-orm";
import { Elysia, t } from "elysia";
import { errorHandler } from "../../src/api/error-reply.ts";
import { requireKnownFields } from "../../src/api/known-fields.ts";
import { readJson } from "../../src/api/request-body.ts";
import { AnyJson, nullable } from "../../src/api/schemas.ts";
import { attachment } from "../../src/db/attachment-tables.ts";
import { project } from "../../src/db/project-tables.ts";
import { comment } from "../../src/db/review-tables.ts";
import { auditPending } from "../../src/db/safety-tables.ts";
import { outbox } from "../../src/db/service-tables.ts";
import { deadLetter, message, prompt, session } from "../../src/db/tables.ts";
import { permissionRequest, steer } from "../../src/db/talk-tables.ts";
import { createLogger } from "../../src/observability/logger.ts";
import { ask, makeApp } from "../harness/app.ts";
import { describeEachDatabase } from "../harness/databases.ts";
import { documentOf } from "../harness/guarded.ts";
import { seedSession } from "../harness/seed.ts";

const COMMIT = "0".repeat(40);

/** How operations fail on what is not in the state for them. */
const CLOSED = ["permission_closed", "budget_not_awaited"];
/** How operations fail that have taken their body, because here are no repositories. */
const NOWHERE = ["repository_unreadable", "branch_not_pushed", "forge_unknown", "pull_request_not_found"];

describeEachDatabase("what an operation does not know", (database) => {
  const app = () => makeApp({ database: database() });

  /** One of each, owned by alice: every operation could do its work on it. */
  async function setUp() {
    const { orm } = database();
    const { sessionId, promptIds } = await seedSession(database(), 2);
    const [messageId, letterId] = [Bun.randomUUIDv7(), Bun.randomUUIDv7()];
    const promptId = promptIds[0] ?? "";
    await orm.update(session).set({ messageSeq: 1 }).where(eq(session.id, sessionId));
    await orm.insert(message).values({ id: messageId, promptId, sessionId, seq: 1, data: { kept: true } });
    await orm.insert(deadLetter).values({
      id: letterId,
      taskType: "prompt-run",
      entityId: promptId,
      userId: "alice",
      lastError: "It did not work.",
    });
    const about = { sessionId, path: "a.ts", commit: COMMIT, side: "new", text: "Why?", code: "" } as const;
    const projectId = Bun.randomUUIDv7();
    await orm
      .insert(project)
      .values({ id: projectId, userId: "alice", repo: "owner/one", repoKey: projectId });
    const [commentId, sentId] = [Bun.randomUUIDv7(), Bun.randomUUIDv7()];
    const attachmentId = Bun.randomUUIDv7();
    await orm.insert(attachment).values({
      ...{ id: attachmentId, promptId, position: 0, kind: "file", name: "a.txt", mediaType: "text/plain" },
      ...{ bytes: new Uint8Array(1), sha256: "" },
    });
    await orm.insert(comment).values([commentId, sentId].map((id) => ({ id, ...about })));
    const questionId = Bun.randomUUIDv7();
    await orm.insert(permissionRequest).values({
      ...{ id: questionId, requestId: crypto.randomUUID(), promptId, sessionId, tool: "Bash", input: {} },
      expiresAt: sql`now() + interval '1 hour'`,
    });
    const ids: Record<string, string> = {
      sessions: sessionId,
      comments: commentId,
      permissions: questionId,
      projects: projectId,
      sent: sentId,
      prompts: promptId,
      attachments: attachmentId,
      messages: messageId,
      "dead-letter-queue": letterId,
    };
    const { secured, schemas } = await documentOf(app());
    const operations = secured.map(({ method, path, operation }) => ({
      method,
      name: `${method} ${path}`,
      path: path.replace(/\{\w+\}/, ids[path.split("/")[1] ?? ""] ?? "?"),
      body: bodies(ids)[operation.operationId] ?? {},
      schema: schemas[
        operation.requestBody?.content["application/json"]?.schema.$ref?.split("/").pop() ?? ""
      ] as { required?: string[]; additionalProperties?: boolean } | undefined,
    }));
    return { operations, letterId, messageId };
  }

  /** A body that each operation takes. The others take one without fields. */
  const bodies = (ids: Record<string, string>): Record<string, Record<string, unknown>> => ({
    handlers_sessions_create: { repo: "owner/name", target_branch: "main" },
    handlers_sessions_create_with_prompt: { repo: "owner/name", target_branch: "main", messages: "go" },
    handlers_sessions_update: { id: ids["sessions"], title: "Another" },
    handlers_prompts_create: { session_id: ids["sessions"], data: "go" },
    handlers_prompts_update: { data: "go" },
    handlers_messages_create: { prompt_id: ids["prompts"], data: null },
    handlers_messages_update: { data: null },
    handlers_prompts_steer: { text: "go" },
    handlers_prompts_resume: { budget_usd: 5 },
    handlers_permissions_answer: { decision: "deny" },
    handlers_comments_create: { path: "a.ts", commit: COMMIT, side: "new", text: "Why?" },
    handlers_comments_update: { text: "Why not?" },
    handlers_comments_send: { comment_ids: [ids["sent"]] },
    handlers_projects_create: { repo: `owner/${Bun.randomUUIDv7()}` },
    handlers_projects_update: { instructions: "Be nice." },
    handlers_dead_letter_queue_bulk: { action: "resolve", ids: [ids["dead-letter-queue"]] },
  });

  /** All that operations write. */
  const everything = async () => {
    const { orm } = database();
    return {
      sessions: await orm.select().from(session).orderBy(asc(session.id)),
      prompts: await orm.select().from(prompt).orderBy(asc(prompt.id)),
      messages: await orm.select().from(message).orderBy(asc(message.id)),
      letters: await orm.select().from(deadLetter).orderBy(asc(deadLetter.id)),
      comments: await orm.select().from(comment).orderBy(asc(comment.id)),
      questions: await orm.select().from(permissionRequest),
      steers: await orm.select().from(steer),
      outbox: await orm.select().from(outbox).orderBy(asc(outbox.id)),
      audit: await orm.$count(auditPending),
    };
  };

  test("is refused in every body, by name, and nothing is changed", async () => {
    const { operations } = await setUp();
    const before = await everything();
    for (const { method, name, path, body } of operations.filter((one) => one.method !== "GET")) {
      const reply = await ask(app(), "alice", method, path, { ...body, prority: 1 });
      expect([name, reply.status, reply.body.code]).toEqual([name, 422, "unknown_field"]);
      expect(reply.body.msg, name).toStartWith("prority: unknown field; ");
    }
    expect(await everything()).toEqual(before);
  });

  test("is refused in every query, by name, and nothing is changed", async () => {
    const { operations } = await setUp();
    const before = await everything();
    for (const { method, name, path, body } of operations) {
      const reply = await ask(app(), "alice", method, `${path}?limt=1`, method === "GET" ? undefined : body);
      if (method === "GET")
        expect([name, (await ask(app(), "alice", "HEAD", `${path}?limt=1`)).status]).toEqual([name, 422]);
      expect([name, reply.status, reply.body.code]).toEqual([name, 422, "unknown_field"]);
      expect(reply.body.msg, name).toStartWith("limt: unknown query parameter; ");
    }
    expect(await everything()).toEqual(before);
  });

  test("is what is refused: without it, every operation with a body does its work", async () => {
    const { operations } = await setUp();
    const withBody = operations.filter(({ schema, name }) => schema && !name.endsWith("/fork"));
    expect(withBody.length).toBeGreaterThanOrEqual(10);
    // Generators and fuzzers of clients know it, too.
    for (const { name, schema } of operations)
      if (schema) expect([name, schema.additionalProperties]).toEqual([name, false]);
    const outcomes: unknown[] = [];
    for (const { method, name, path, body } of withBody) {
      const { status, body: reply } = await ask(app(), "alice", method, path, body);
      // The dead letter is resolved once; the prompt is not failed, so that there is nothing to retry.
      // The question is of a prompt that does not run, and that does not wait for its budget.
      const isDone = status === 409 && (path.includes("dead-letter") || CLOSED.includes(reply.code));
      outcomes.push(status === 200 || isDone || NOWHERE.includes(reply.code) ? 200 : [name, status]);
    }
    expect(outcomes).toEqual(withBody.map(() => 200));
  });

  test("does not stand for what is missing: without a required field nothing is changed", async () => {
    const { operations, messageId } = await setUp();
    const before = await everything();
    const tried: string[] = [];
    for (const { method, name, path, body, schema } of operations)
      for (const field of schema?.required ?? []) {
        const { [field]: _, ...rest } = body;
        const reply = await ask(app(), "alice", method, path, rest);
        expect([name, reply.status, reply.body.code]).toEqual([name, 422, "invalid"]);
        expect(reply.body.msg, name).toBe(`${field}: is missing`);
        tried.push(`${name} ${field}`);
      }
    expect(tried).toEqual(expect.arrayContaining(["PUT /messages/{id} data", "POST /messages data"]));
    for (const body of [{}, [], "x", 5, true, null])
      expect((await ask(app(), "alice", "PUT", `/messages/${messageId}`, body)).status).toBe(422);
    expect(await everything()).toEqual(before);
  });

  test("retries or closes no dead letter", async () => {
    const { letterId } = await setUp();
    const before = await everything();
    const wrong: [body: unknown, message: string | RegExp][] = [
      [{ task_tpye: "x" }, "task_tpye: unknown field; did you mean task_type?"],
      [{ taskType: "x" }, "taskType: unknown field; did you mean task_type?"],
      [{ Ids: [letterId] }, "Ids: unknown field; did you mean ids?"],
      [{ id: letterId }, "id: unknown field; did you mean ids?"],
      [
        { filter: { kind: "agent" } },
        "filter: unknown field; known are task_type, kind, ids, failed_before, failed_after, resolution_notes",
      ],
      [{ ids: [letterId, 7] }, "ids.1: Expected string"],
      [{ ids: { 0: letterId } }, "ids: Expected array"],
      [JSON.parse('{"__proto__":{"kind":"agent"}}'), /^__proto__: unknown field; known are /],
      [{ toString: 1 }, /^toString: unknown field; known are /],
      [[], "The body must be a JSON object, not an array."],
      [[{ kind: "agent" }], "The body must be a JSON object, not an array."],
      ["*", "The body must be a JSON object, not a string."],
      [5, "The body must be a JSON object, not a number."],
      [true, "The body must be a JSON object, not a boolean."],
    ];
    const paths = ["/retry", ...["resolve", "abandon", "retry"].map((verb) => `/${letterId}/${verb}`)];
    for (const path of paths)
      for (const [body, said] of wrong) {
        const reply = await ask(app(), "alice", "POST", `/dead-letter-queue${path}`, body);
        expect([path, body, reply.status]).toEqual([path, body, 422]);
        if (path === "/retry")
          expect(reply.body.msg).toEqual(said instanceof RegExp ? expect.stringMatching(said) : said);
      }
    for (const body of [null, undefined])
      expect((await ask(app(), "alice", "POST", "/dead-letter-queue/retry", body)).status).toBe(422);
    expect((await ask(app(), "alice", "POST", "/dead-letter-queue/retry?task_type=x", {})).body.msg).toBe(
      "task_type: unknown query parameter; none is known here",
    );
    expect(await everything()).toEqual(before);
    // Where a body is optional, null is none.
    expect((await ask(app(), "alice", "POST", `/dead-letter-queue/${letterId}/resolve`, null)).status).toBe(
      200,
    );
  });

  test("is not looked for in what is stored as sent", async () => {
    const { operations } = await setUp();
    const path = operations.find(({ name }) => name === "PUT /messages/{id}")?.path ?? "";
    const data = { type: "assistant", anything: [{ nested: { more: 1 } }] };
    expect((await ask(app(), "alice", "PUT", path, { data })).status).toBe(200);
    expect((await ask(app(), "alice", "GET", path)).body.message.data).toEqual(data);
  });
});

describe("fields", () => {
  const nested = t.Object({ host: t.String(), port: t.Optional(t.Number()) });
  const app = new Elysia();
  app
    .use(errorHandler({ logger: createLogger({ level: "silent" }), methodsOf: () => [] }))
    .onParse(readJson)
    .onTransform(requireKnownFields(() => app))
    .post("/", ({ body }) => body, {
      parse: "json",
      body: t.Object({
        nested: t.Optional(nested),
        list: t.Optional(t.Array(nested)),
        orNull: t.Optional(nullable(nested)),
        free: t.Optional(AnyJson),
        record: t.Optional(t.Record(t.String(), t.Number())),
        count: t.Optional(t.Integer({ maximum: 9 })),
        least: t.Optional(t.Integer({ minimum: 2 })),
        price: t.Optional(nullable(t.Number({ exclusiveMinimum: 0 }))),
      }),
    });
  const send = async (body: unknown) => (await ask(app, undefined, "POST", "/", body)).body;
  const said = async (body: unknown) => (await send(body)).msg ?? "taken";

  test.each<[body: unknown, said: string]>([
    [
      { nested: { host: "x" }, list: [{ host: "x" }], orNull: null, free: { a: { b: 1 } }, record: { a: 1 } },
      "taken",
    ],
    [{ nested: { host: "x", prot: 1 } }, "nested.prot: unknown field; did you mean port?"],
    [
      { list: [{ host: "x" }, { hots: "x" }] },
      "list.1.hots: unknown field; did you mean host?; list.1.host: is missing",
    ],
    [{ orNull: { host: "x", ports: 1 } }, "orNull.ports: unknown field; did you mean port?"],
    [{ orNull: 7 }, "orNull: Expected union value"],
    [{ record: { a: "x" } }, "record.a: Expected number"],
    [{ count: 10 }, "count: must be an integer up to 9"],
    [{ count: 0.5 }, "count: must be an integer up to 9"],
    [{ least: 1 }, "least: must be an integer from 2"],
    [{ price: 0 }, "price: must be a number above 0 or null"],
    [
      { "a/b~": 1 },
      '"a/b~": unknown field; known are nested, list, orNull, free, record, count, least, price',
    ],
    [{ "": 1 }, '"": unknown field; known are nested, list, orNull, free, record, count, least, price'],
  ])("%j: %s", async (body, message) => {
    expect(await said(body)).toBe(message);
  });

  test("with hostile names are named in few words", async () => {
    // As many as fit into a body.
    const many = Object.fromEntries(
      Array.from({ length: 10_000 }, (_, n) => [`${"\n💥".repeat(12)}${n}`, n]),
    );
    for (const body of [many, { ["💥".repeat(100_000)]: 1 }, { free: 1, ...many }]) {
      const { code, msg: message } = await send(body);
      expect(code).toBe("unknown_field");
      expect(message.length).toBeLessThan(500);
      expect(message).not.toInclude("\n");
      expect(message.isWellFormed()).toBe(true);
    }
  });
});
