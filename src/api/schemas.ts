/** Wire shapes that several features share. TypeBox itself, whose schemas are Elysia's own. */
import { type TSchema, Type as t } from "@sinclair/typebox";
import { MAX_PAGE } from "./paging.ts";

/** UUID in a path. */
export const Id = t.String({
  format: "uuid",
  // The format alone would let `urn:uuid:` through.
  pattern: "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$",
  description: "UUID",
  examples: ["019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708"],
});

/** ISO 8601 in UTC. */
export const Time = t.String({ format: "date-time", examples: ["2026-01-31T12:00:00.000Z"] });

/** The same from a client: PostgreSQL knows neither a year 0 nor JavaScript's signed ones. */
export const WrittenTime = t.String({ ...Time, pattern: "^[1-9][0-9]{3}-" });

export const nullable = <T extends TSchema>(schema: T) => t.Union([schema, t.Null()]);

/** The answer to whatever changes something. */
export const Done = {
  success: t.Boolean({ examples: [true] }),
  message: t.String({ description: "What was done, for people", examples: ["Done"] }),
};

/** A prompt's place among those of its user. */
export const Priority = t.Integer({
  minimum: -10,
  maximum: 10,
  description: "Higher goes first, among the prompts of one user; default 0",
  examples: [0],
});

/** An example. */
const CURSOR = "NTA";

/** What every list takes. */
export const paging = {
  limit: t.Optional(
    t.Integer({
      minimum: 1,
      maximum: MAX_PAGE,
      description: "At most so many; without it, all of them",
      examples: [50],
    }),
  ),
  cursor: t.Optional(
    t.String({
      maxLength: 500,
      description: "The next_cursor of the page before, with the same other parameters",
      examples: [CURSOR],
    }),
  ),
};

/** For routes with `paging`, before validation: an address has only text, which Elysia turns into its own kinds alone. */
export function readLimit({ query }: { query: { limit?: unknown } }): void {
  if (typeof query.limit === "string" && /^\d+$/.test(query.limit)) query.limit = Number(query.limit);
}

export const NextCursor = t.Optional(
  nullable(
    t.String({
      description: "Where the next page begins; only with a limit, and null on the last page",
      examples: [CURSOR],
    }),
  ),
);

/** For a client that still has the present reply, and said so with If-None-Match. */
export const Unchanged = t.Void({ description: "The reply with this ETag still holds" });

/** Whatever JSON a client sent. */
export const AnyJson = t.Any({ description: "Any JSON" });

export const ErrorDto = t.Object(
  {
    err: t.String({ description: "The code again, for older clients", examples: ["not_found"] }),
    msg: t.String({
      description: "What was wrong and what to do",
      examples: ["The session 019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708 does not exist."],
    }),
    code: t.String({ description: "Stable; decide by this", examples: ["not_found"] }),
    request_id: t.String({
      description: "The X-Request-Id of the reply; name it in a report",
      examples: ["ea63119e-fb31-486e-a188-239d40ba7643"],
    }),
  },
  { description: "Every error has this shape." },
);

/**
 * The error replies that an operation documents. Whoever needs a token (401) may also be told to slow down (429) or
 * to come again when the identity provider answers (503).
 */
export const errorReplies = <Status extends number>(...statuses: Status[]) => {
  const all = (statuses as number[]).includes(401) ? [...statuses, 429, 503] : statuses;
  return Object.fromEntries(all.map((status) => [status, "ErrorDto"])) as Record<
    Status | 429 | 503,
    "ErrorDto"
  >;
};

export const wireModels = { ErrorDto };

/** What an operation's description has in common with the others of its tag. */
export const secured = (tag: string) => (operationId: string, summary: string, description?: string) => ({
  operationId,
  summary,
  ...(description !== undefined && { description }),
  tags: [tag],
  security: [{ Bearer: [] }],
});

/** The header of every operation that creates. */
export const idempotent = t.Object({
  "idempotency-key": t.Optional(
    t.String({
      description:
        "1 to 255 printable characters, kept 24 h: the same request with the same key gets the first answer again (with Idempotency-Replayed: true), another request 409",
      examples: ["6f2a9c1e-create-login-fix"],
    }),
  ),
});
