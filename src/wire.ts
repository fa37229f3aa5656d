/** Wire shapes that several features share. TypeBox itself, whose schemas are Elysia's own. */
import { type TSchema, Type as t } from "@sinclair/typebox";

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

export const nullable = <T extends TSchema>(schema: T) => t.Union([schema, t.Null()]);

/** Whatever JSON a client sent. */
export const AnyJson = t.Any({ description: "Any JSON" });

export const ErrorDto = t.Object(
  {
    err: t.String({ description: "The code again, for older clients" }),
    msg: t.String({ description: "What was wrong and what to do" }),
    code: t.String({ description: "Stable; decide by this" }),
    request_id: t.String({ description: "The X-Request-Id of the reply; name it in a report" }),
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
