import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import SwaggerParser from "@apidevtools/swagger-parser";
import { Ajv } from "ajv";
import addFormats from "ajv-formats";
import { INBOX_STATUSES } from "../../../src/db/columns.ts";
import { openApiText } from "../../../src/server/docs.ts";
import { makeApp } from "../../harness/app.ts";
import { TEST_TIMEOUT_MS } from "../../harness/timeouts.ts";
import { breaks, type OpenApi, type Operation, type Schema } from "./compatibility.ts";
import contract from "./contract.json";

setDefaultTimeout(TEST_TIMEOUT_MS);

const SNAPSHOT = join(import.meta.dir, "openapi.json");
const ROOT = join(import.meta.dir, "../../..");

let text: string;
let document: OpenApi & { info: { version: string }; tags: { name: string }[] };
beforeAll(async () => {
  text = await openApiText(makeApp());
  document = JSON.parse(text);
});

const operations = () =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      at: `${method.toUpperCase()} ${path}`,
      operation: operation as Operation & { summary?: string; tags?: string[]; description?: string },
    })),
  );

test("is compatible with everything that the published SDK sends and reads", () => {
  expect(breaks(contract as unknown as OpenApi, document)).toEqual([]);
});

describe("equals the reviewed snapshot", () => {
  const normalised = () =>
    `${JSON.stringify({ ...document, info: { ...document.info, version: "" } }, null, 2)}\n`;
  const update = process.env["UPDATE_OPENAPI"] && !/^(1|true)$/i.test(process.env["CI"] ?? "");

  test("(to update it: UPDATE_OPENAPI=1 bun test test/server/openapi, and review the diff)", async () => {
    if (update) await Bun.write(SNAPSHOT, normalised());
    expect(normalised()).toBe(await Bun.file(SNAPSHOT).text());
  });
});

test("is printed as it is served, without a database", async () => {
  // To a slow reader: a pipe buffers less than the document.
  const program = [process.execPath, join(ROOT, "src/main.ts"), "print-openapi"];
  const child = Bun.spawn(["sh", "-c", '"$@" | (sleep 1; cat)', "sh", ...program], {
    env: { PATH: process.env["PATH"] ?? "", DATABASE_URL: "nonsense" },
    stdin: "ignore",
  });
  const printed = await child.stdout.text();
  const { version } = JSON.parse(printed).info;
  expect(await openApiText(makeApp({ version }))).toBe(printed);
  // Elysia completes schemas when it first uses them, which must not change the document.
  const used = makeApp({ version });
  for (const path of ["/sessions", "/prompts", "/webhook/return"])
    await used.handle(
      new Request(`http://localhost${path}`, { method: "POST", headers: { authorization: "Bearer a" } }),
    );
  expect(await openApiText(used)).toBe(printed);
});

describe("is well-formed", () => {
  test("to a strict parser", async () => {
    await SwaggerParser.validate(JSON.parse(text));
  });

  test("to a linter, without warnings", async () => {
    const file = join(ROOT, ".cache", `openapi-${process.pid}.json`);
    await Bun.write(file, text);
    const child = Bun.spawn(
      [
        process.execPath,
        join(ROOT, "node_modules/.bin/redocly"),
        "lint",
        "--extends=recommended",
        "--format=json",
        file,
      ],
      {
        env: { ...process.env, REDOCLY_TELEMETRY: "off", REDOCLY_SUPPRESS_UPDATE_NOTICE: "true" },
        stdin: "ignore",
        stderr: "pipe",
      },
    );
    const { totals, problems } = JSON.parse(await child.stdout.text());
    await Bun.file(file).delete();
    expect(problems).toEqual([]);
    expect(totals).toMatchObject({ errors: 0, warnings: 0 });
  });

  test("and has none of the generator's leftovers", () => {
    expect(text).not.toMatch(
      /"\$id"|"const"|"type": "(void|Date)"|"nullable"|"published"|"x-optional-body"|"patternProperties"|multipart/,
    );
  });
});

describe("becomes the types that are meant, in clients of several generators:", () => {
  const schema = (name: string) => document.components.schemas[name];
  const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });
  const orNull = (name: string) => ({ oneOf: [ref(name), { type: "null" }] });

  test("closed sets of values are enums with names, nullable ones too", () => {
    expect(schema("SessionDto")?.properties).toMatchObject({
      uiStatus: ref("UiStatus"),
      inboxStatus: ref("InboxStatus"),
      sessionStatus: ref("SessionStatus"),
      cancellationStatus: orNull("CancellationStatus"),
      sbxConfig: orNull("SandboxDto"),
    });
    expect(schema("PromptDto")?.properties).toMatchObject({
      kind: ref("PromptKind"),
      status: ref("PromptStatus"),
      error_kind: orNull("FailureKind"),
      memory: orNull("MemoryKind"),
    });
    expect(schema("InboxStatus")?.enum).toEqual([...INBOX_STATUSES]);
    // Generators for Go make a constant named after null of it.
    expect(text).not.toMatch(/"enum": \[[^\]]*null/);
  });

  test("a uuid has no pattern beside its format", () => {
    expect(text).toContain('"format": "uuid"');
    expect(text.match(/[^{}]*"format": "uuid"[^{}]*/g)?.filter((one) => one.includes('"pattern"'))).toEqual(
      [],
    );
  });

  test("prompts and messages are sent in the forms that clients use", () => {
    for (const name of ["CreatePromptInput", "UpdatePromptInput"])
      expect(schema(name)?.properties?.["data"], name).toMatchObject(ref("PromptData"));
    expect(schema("CreateSessionWithPromptInput")?.properties?.["messages"]).toMatchObject(ref("PromptData"));
    expect(schema("CreateMessageInput")?.properties?.["data"]).toMatchObject(ref("MessageData"));
    const ajv = new Ajv({ strict: false });
    const accepts = ajv.compile({ ...schema("PromptData"), components: document.components });
    const part = { content: "x" };
    for (const data of [
      "x",
      part,
      { prompt: "x" },
      { text: "x" },
      { message: "x" },
      [part],
      [{ ...part, type: "text" }],
    ])
      expect(accepts(data), JSON.stringify(data)).toBe(true);
    for (const data of [1, null, {}, [1]]) expect(accepts(data), JSON.stringify(data)).toBe(false);
  });

  test("bodies that may be left out are optional, all others are required", () => {
    const optional = operations()
      .filter(({ operation }) => operation.requestBody?.required === false)
      .map(({ at }) => at);
    expect(optional).toEqual([
      "POST /sessions/{id}/fork",
      "POST /sessions/{id}/sync",
      "PUT /sessions/{id}/seen",
      "POST /sessions/{id}/pull-request",
      "POST /sessions/{id}/merge",
      "POST /sessions/{id}/comments/send",
      "POST /dead-letter-queue/{id}/resolve",
      "POST /dead-letter-queue/{id}/abandon",
      "POST /dead-letter-queue/{id}/retry",
      "POST /auth/sign-out",
    ]);
  });

  test("an Idempotency-Key has its length and its characters", () => {
    const keys = operations().flatMap(({ operation }) =>
      (operation.parameters ?? []).filter(({ name }) => name === "idempotency-key"),
    );
    expect(keys.length).toBeGreaterThan(4);
    for (const { schema } of keys)
      expect<unknown>(schema).toEqual({
        type: "string",
        minLength: 1,
        maxLength: 255,
        pattern: "^[\\x20-\\x7e]+$",
      });
  });

  test("reads have ETags and take If-None-Match, updates take If-Match", () => {
    const names = (operation: Operation) => (operation.parameters ?? []).map(({ name }) => name);
    const all = operations();
    for (const { at, operation } of all) {
      const replies = Object.keys(operation.responses);
      // Streams, health checks and the session of a browser stand for no stored state.
      const isRead = at.startsWith("GET") && !/\/(events|health.*|auth\/session)$/.test(at);
      expect([at, replies.includes("304"), names(operation).includes("if-none-match")]).toEqual([
        at,
        isRead,
        isRead,
      ]);
      // What cannot be read alone has no ETag that an update could name.
      const isUpdate = at.startsWith("PUT") && all.some((one) => one.at === at.replace("PUT", "GET"));
      expect([at, replies.includes("412"), names(operation).includes("if-match")]).toEqual([
        at,
        isUpdate,
        isUpdate,
      ]);
    }
  });

  test("each event of a stream has a schema, to which its stream refers", () => {
    const stream = (path: string) =>
      document.paths[path]?.["get"]?.responses["200"]?.content?.["text/event-stream"]?.schema;
    expect(stream("/events")).toMatchObject({ type: "string", contentSchema: ref("UserStreamEvent") });
    expect(stream("/sessions/{id}/events")).toMatchObject({ contentSchema: ref("SessionStreamEvent") });
    const names = ["Message", "Session", "Deleted", "Bye", "Ready"];
    expect(schema("UserStreamEvent")?.oneOf).toEqual(names.map((name) => ref(`Stream${name}Event`)));
  });
});

/** Verbs that a summary may start with. */
const VERBS =
  "Abandon|Answer|Cancel|Create|Delete|Fork|Get|List|Mark|Merge|Push|Report|Resolve|Resume|Retry|Send|Sign|Stream|Update";

describe("is complete", () => {
  test("summaries are imperative titles of at most 60 characters, each used once", () => {
    const summaries = operations().map(({ operation }) => operation.summary ?? "");
    const title = new RegExp(`^((${VERBS}) [^.?]+|Health check|(Liveness|Readiness) probe)$`);
    expect(summaries.filter((one) => !title.test(one) || one.length > 60)).toEqual([]);
    expect(summaries.toSorted()).toEqual([...new Set(summaries)].toSorted());
  });

  test("each operation has a name of its own, a summary, known tags, security and errors", () => {
    const ids = operations().map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    const tags = document.tags.map(({ name }) => name);
    for (const { at, operation } of operations()) {
      expect(operation.operationId, at).toMatch(/^handlers_[a-z_]+$/);
      expect(operation.summary?.length ?? 0, at).toBeGreaterThan(5);
      expect(tags, at).toEqual(expect.arrayContaining(operation.tags ?? ["none"]));
      expect(operation.security, at).toBeDefined();
      const replies = Object.keys(operation.responses);
      if (operation.security?.some((one) => "Bearer" in one))
        expect(replies, at).toEqual(expect.arrayContaining(["200", "401", "429", "500", "503"]));
      if (operation.requestBody) expect(replies, at).toEqual(expect.arrayContaining(["400", "413", "422"]));
    }
    for (const tag of tags)
      expect(
        operations().some(({ operation }) => operation.tags?.includes(tag)),
        tag,
      ).toBe(true);
  });

  test("each body and parameter has an example, down to its last field", () => {
    const missing = operations().flatMap(({ at, operation }) => {
      const bodies = [operation.requestBody, ...Object.values(operation.responses)];
      return [
        ...(operation.parameters ?? [])
          .filter((one) => !("example" in one))
          .flatMap(({ name, schema }) => withoutExample(`${at} ${name}`, schema)),
        ...bodies
          .flatMap((one) => Object.values(one?.content ?? {}))
          .flatMap((one) => ("example" in one ? [] : withoutExample(at, one.schema))),
      ];
    });
    expect([...new Set(missing)]).toEqual([]);
  });

  test("each example is of its schema", () => {
    const ajv = new Ajv({ strict: false, allErrors: true });
    (addFormats as unknown as (ajv: Ajv) => void)(ajv);
    const wrong: string[] = [];
    const look = (value: unknown, at: string) => {
      if (typeof value !== "object" || value === null) return;
      if ("examples" in value && Array.isArray(value.examples)) {
        const check = ajv.compile({ ...value, components: document.components });
        for (const one of value.examples)
          if (!check(one)) wrong.push(`${at}: ${ajv.errorsText(check.errors)}`);
      }
      for (const [key, one] of Object.entries(value)) if (key !== "examples") look(one, `${at}/${key}`);
    };
    look(document, "");
    expect(wrong).toEqual([]);
  });
});

/** Where nothing tells what a value looks like: no example, no list of words, and no parts that have one. */
function withoutExample(at: string, schema: Schema & { examples?: unknown[] } = {}): string[] {
  if (schema.examples !== undefined || schema.enum || schema.type === "boolean") return [];
  if (schema.$ref !== undefined) {
    const name = schema.$ref.replace("#/components/schemas/", "");
    return withoutExample(name, document.components.schemas[name]);
  }
  if (schema.oneOf) return schema.oneOf.every((one) => withoutExample(at, one).length > 0) ? [at] : [];
  if (schema.properties)
    return Object.entries(schema.properties).flatMap(([name, one]) => withoutExample(`${at}.${name}`, one));
  if (schema.items) return withoutExample(`${at}[]`, schema.items);
  return [at];
}
