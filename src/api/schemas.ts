/** Wire schemas that several features share. TypeBox's own types: Elysia's `t.Integer` accepts text too, also in bodies. */
import { type SchemaOptions, type TSchema, Type as t } from "@sinclair/typebox";
import { WAITING_FOR } from "../db/columns.ts";
import { MAX_PAGE } from "./paging.ts";

/**
 * In a schema: what the OpenAPI document says in addition, where it tells clients more than is checked here, or what is
 * checked elsewhere with a better message.
 */
export const PUBLISHED = "published";
/** In the details of an operation: its body may be left out. */
export const OPTIONAL_BODY = "x-optional-body";

/** In the schema of an object: documented as having other fields, too. */
export const withOtherFields = { [PUBLISHED]: { additionalProperties: true } };

/** In a schema: documented as this component, which is not what it is checked by. */
export const publishedAs = (component: string) => ({
  [PUBLISHED]: { $ref: `#/components/schemas/${component}` },
});

/** In a reply's schema: the component that the text is JSON of. */
export const JSON_TEXT_OF = "x-json-text-of";

/** The reply of an operation whose JSON PostgreSQL makes: documented as this component, to which tests hold it. */
export const jsonTextOf = (component: string) => t.String({ [JSON_TEXT_OF]: component });

/** One word of a closed set. Take the set from the domain, which has each of them once. */
export const enumOf = <const Word extends string>(words: readonly Word[], options: SchemaOptions = {}) =>
  t.Unsafe<Word>(
    t.Union(
      words.map((word) => t.Literal(word)),
      options,
    ),
  );

export const WaitingFor = enumOf(WAITING_FOR, {
  description: "What a prompt waits for besides its turn, and is tried again",
});

/** UUID in a path. */
export const Id = t.String({
  format: "uuid",
  // The format alone would accept `urn:uuid:`.
  pattern: "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$",
  description: "UUID",
  examples: ["019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708"],
});
export const idParams = t.Object({ id: Id });

/** ISO 8601 in UTC. */
export const Timestamp = t.String({ format: "date-time", examples: ["2026-01-31T12:00:00.000Z"] });

/** The same as input: PostgreSQL accepts neither year 0 nor JavaScript's signed years. */
export const TimestampInput = t.String({ ...Timestamp, pattern: "^[1-9][0-9]{3}-" });

/** An amount of US dollars in a reply. */
export const usd = (description: string, example: number) =>
  t.Number({ format: "double", description, examples: [example] });

export const nullable = <T extends TSchema>(schema: T) => t.Union([schema, t.Null()]);

/** Of agents and models, where somebody sends them: they become parts of messages and arguments of programs, and no option. */
export const AGENT_NAME = { minLength: 1, maxLength: 64, pattern: "^[A-Za-z0-9][A-Za-z0-9._-]*$" };
export const MODEL_NAME = {
  ...{ minLength: 1, maxLength: 128 },
  pattern: "^[A-Za-z0-9][A-Za-z0-9._:/@+\\[\\]-]*$",
};

/** The fields of the reply to every operation that changes something. */
export const outcome = {
  success: t.Boolean({ examples: [true] }),
  message: t.String({ description: "What was done, for people to read", examples: ["Done"] }),
};

export const Priority = t.Integer({
  minimum: -10,
  maximum: 10,
  description: "Higher runs first, among the prompts of one user. Default: 0",
  examples: [0],
});

const EXAMPLE_CURSOR = "NTA";

/** The query parameters of every list. */
export const paging = {
  limit: t.Optional(
    t.Integer({
      minimum: 1,
      maximum: MAX_PAGE,
      description: "Page size. Default: the whole list",
      examples: [50],
    }),
  ),
  cursor: t.Optional(
    t.String({
      maxLength: 500,
      description: "The next_cursor of the previous page; the other parameters must stay the same",
      examples: [EXAMPLE_CURSOR],
    }),
  ),
};

/** Transform of routes with `paging`: query values arrive as text, and Elysia only converts its own number types. */
export function parseLimit({ query }: { query: { limit?: unknown } }): void {
  if (typeof query.limit === "string" && /^\d+$/.test(query.limit)) query.limit = Number(query.limit);
}

/** Details of operations whose body is optional. */
export const optionalBody = { [OPTIONAL_BODY]: true };

/** Transform of routes whose body is optional. */
export function defaultToEmptyBody(context: { body: unknown }): void {
  context.body ??= {};
}

export const NextCursor = t.Optional(
  nullable(
    t.String({
      description: "Cursor of the next page; only with a limit, null on the last page",
      examples: [EXAMPLE_CURSOR],
    }),
  ),
);

/** 304: the client's ETag, sent as If-None-Match, is still current. */
export const NotModified = t.Void({ description: "Not modified since the reply with this ETag" });

/** Any JSON value, stored as sent. */
export const AnyJson = t.Any({ description: "Any JSON" });

const ErrorDto = t.Object(
  {
    err: t.String({ description: "The kind of error", examples: ["not_found"] }),
    msg: t.String({
      description: "What was wrong and what to do, for people to read",
      examples: ["The session 019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708 does not exist."],
    }),
    code: t.String({
      description: "The specific error, stable: use this in programs. docs/ERRORS.md explains each one",
      examples: ["session_not_found"],
    }),
    request_id: t.String({
      description: "The X-Request-Id of the reply; include it in a bug report",
      examples: ["ea63119e-fb31-486e-a188-239d40ba7643"],
    }),
  },
  { description: "The shape of every error" },
);

/** Schemas that every controller registers. */
export const sharedModels = { ErrorDto };

/**
 * The error responses that an operation documents. An operation that needs a token (401) may also exceed a rate limit
 * (429) or find the identity provider unavailable (503).
 */
export const errorResponses = <Status extends number>(...statuses: Status[]) => {
  const all = (statuses as number[]).includes(401) ? [...statuses, 429, 503] : statuses;
  return Object.fromEntries(all.map((status) => [status, "ErrorDto"])) as Record<
    Status | 429 | 503,
    "ErrorDto"
  >;
};
const ERROR = {
  // server/openapi.ts describes each status.
  description: "",
  content: { "application/json": { schema: { $ref: "#/components/schemas/ErrorDto" } } },
};
/** The same for operations whose responses are written by hand: Elysia documents every response as JSON. */
export const documentedErrors = (...statuses: readonly number[]) =>
  Object.fromEntries(statuses.map((status) => [status, ERROR]));
/** Of operations that read one thing, and of those that change something by the state that it is in. */
export const readErrors = errorResponses(401, 404, 422, 500);
export const writeErrors = errorResponses(400, 401, 404, 409, 413, 415, 422, 500);
/** Of operations that take If-Match. */
export const updateErrors = errorResponses(400, 401, 404, 409, 412, 413, 415, 422, 500);

/** Makes the OpenAPI details of a tag's operations, all of which need a token. */
export const securedOperation =
  (tag: string) => (operationId: string, summary: string, description?: string) => ({
    operationId,
    summary,
    ...(description !== undefined && { description }),
    tags: [tag],
    security: [{ Bearer: [] }],
  });

/** The header of every operation that creates. */
export const idempotencyHeaders = t.Object({
  "idempotency-key": t.Optional(
    t.String({
      // Checked by api/idempotency-key.ts.
      [PUBLISHED]: { minLength: 1, maxLength: 255, pattern: "^[\\x20-\\x7e]+$" },
      description:
        "1 to 255 printable ASCII characters, kept for 24 hours. A repetition with the same key gets the first reply again (with Idempotency-Replayed: true); another request with the same key gets 409.",
      examples: ["6f2a9c1e-create-login-fix"],
    }),
  ),
});
