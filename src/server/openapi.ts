import { JSON_TEXT_OF, OPTIONAL_BODY, PUBLISHED } from "../api/schemas.ts";

type Json = { [key: string]: unknown };

/** As @elysiajs/swagger generates it. */
export interface RawDocument extends Json {
  paths: Record<string, Record<string, Operation>>;
}

/**
 * Turns the generator's output into valid OpenAPI 3.1, of which linters and strict parsers do not complain, and which
 * generators of clients turn into the types that are meant. The generator leaves `$id` in responses, responses without
 * descriptions, and three media types per body; it knows neither optional bodies nor what comes with an ETag.
 */
export function normalizeOpenApi({ paths: found, ...rest }: RawDocument): Json {
  const paths = Object.fromEntries(
    Object.entries(found).map(([path, operations]) => withContractNames(path, operations)),
  );
  for (const path of Object.values(paths))
    for (const operation of Object.values(path)) {
      const responses = operation.responses ?? {};
      for (const [status, response] of Object.entries(responses)) {
        // For errors, the generator only knows the description that all of them share.
        if (!response.description || Number(status) >= 400)
          response.description = DESCRIPTIONS[status] ?? response.description ?? "";
        if (WITHOUT_BODY.has(status)) delete response.content;
        else response.content = jsonOnly(response.content);
        const component = response[JSON_TEXT_OF];
        if (component)
          response.content = { "application/json": { schema: { $ref: `${COMPONENTS}${component}` } } };
        delete response[JSON_TEXT_OF];
      }
      if (operation.requestBody) {
        operation.requestBody.content = jsonOnly(operation.requestBody.content);
        if (operation[OPTIONAL_BODY]) operation.requestBody.required = false;
      }
      delete operation[OPTIONAL_BODY];
      documentEtags(operation, responses);
    }
  // Nullable references: OpenAPI 3.0 cannot express them in a way that generators for Go and Python understand.
  const document = withReferences(normalizeSchema({ ...rest, openapi: "3.1.0", paths }) as Json);
  closeBodies(document);
  return document;
}

/** Guarded operations refuse unknown fields: api/known-fields.ts. */
function closeBodies({ paths, components }: Json): void {
  const { schemas } = components as { schemas: Record<string, Json> };
  for (const operation of Object.values(paths as RawDocument["paths"]).flatMap(Object.values<Operation>)) {
    const body = operation.requestBody?.content?.["application/json"] as
      | { schema: { $ref: string } }
      | undefined;
    if (!body || !operation.security?.some((one) => "Bearer" in one)) continue;
    const schema = schemas[body.schema.$ref.replace(COMPONENTS, "")];
    if (schema) schema["additionalProperties"] = false;
  }
}

/** What every operation has that answers 304 or 412. */
function documentEtags(operation: Operation, responses: NonNullable<Operation["responses"]>): void {
  const parameters = [...(responses["304"] ? [IF_NONE_MATCH] : []), ...(responses["412"] ? [IF_MATCH] : [])];
  if (parameters.length > 0) operation.parameters = [...(operation.parameters ?? []), ...parameters];
  if (responses["304"])
    for (const status of ["200", "304"]) Object.assign(responses[status] ?? {}, { headers: { ETag: ETAG } });
}

const EXAMPLE_ETAG = 'W/"q1Xe7Zr0v3mYkJp2bTn9sA"';
const ETAG = {
  description: "The version of what was read: send it as If-None-Match, or as If-Match with a change",
  schema: { type: "string" },
  example: EXAMPLE_ETAG,
};
const condition = (name: string, description: string) => ({
  name,
  in: "header",
  required: false,
  description,
  schema: { type: "string" },
  example: EXAMPLE_ETAG,
});
const IF_NONE_MATCH = condition(
  "if-none-match",
  "The ETag of an earlier reply; 304 if that is still current",
);
const IF_MATCH = condition(
  "if-match",
  "ETags of earlier reads, as they were received, or `*`. If none of them is current, nothing changes, and the reply is 412",
);

/**
 * Replaces every copy of a component inside other schemas with a reference to it. A copy may have a description of its
 * own, and examples.
 */
function withReferences(document: Json): Json {
  const { schemas } = document["components"] as { schemas: Record<string, Json> };
  const names = new Map(Object.entries(schemas).map(([name, schema]) => [shapeOf(schema), name]));
  const refer = (value: unknown, top = false): unknown => {
    if (Array.isArray(value)) return value.map((one) => refer(one));
    if (typeof value !== "object" || value === null) return value;
    const name = top ? undefined : names.get(shapeOf(value as Json));
    if (name !== undefined) return referenceTo(name, value as Json, schemas[name]?.["description"]);
    const inner = Object.fromEntries(Object.entries(value).map(([key, one]) => [key, refer(one)]));
    return withShortNull(inner);
  };
  const components = Object.fromEntries(
    Object.entries(schemas).map(([name, schema]) => [name, refer(schema, true)]),
  );
  return {
    ...(refer({ ...document, components: {} }) as Json),
    components: { ...(document["components"] as Json), schemas: components },
  };
}

const shapeOf = ({ description: _, examples: _examples, ...shape }: Json): string => JSON.stringify(shape);

function referenceTo(name: string, { description }: Json, known: unknown): Json {
  const own = description !== undefined && description !== known;
  return { $ref: `${COMPONENTS}${name}`, ...(own && { description }) };
}

/** A type or null, in one schema where it is not a reference. */
function withShortNull(schema: Json): Json {
  const { oneOf, ...rest } = schema;
  const [one, nothing, ...more] = Array.isArray(oneOf) ? (oneOf as Json[]) : [];
  if (!one || nothing?.["type"] !== "null" || more.length > 0) return schema;
  const { description, ...inner } = one;
  const described = { ...(description !== undefined && { description }), ...rest };
  return typeof one["type"] === "string" && !one["enum"]
    ? { ...described, ...inner, type: [one["type"], "null"] }
    : { ...described, oneOf: [inner, nothing] };
}

/** Parameter names of the contract. Elysia's router allows only one name at each place of a path. */
const PARAMETER_NAMES: Readonly<Record<string, string>> = {
  "/sessions/{id}/prompts": "session_id",
  "/prompts/{id}/messages": "prompt_id",
};

function withContractNames(
  path: string,
  operations: Record<string, Operation>,
): [string, Record<string, Operation>] {
  const name = PARAMETER_NAMES[path];
  if (name === undefined) return [path, operations];
  for (const { parameters } of Object.values(operations))
    for (const parameter of parameters ?? []) if (parameter.name === "id") parameter.name = name;
  return [path.replace("{id}", `{${name}}`), operations];
}

const COMPONENTS = "#/components/schemas/";

interface Operation {
  parameters?: { name: string }[];
  responses?: Record<string, { description?: string; content?: Json; [JSON_TEXT_OF]?: string }>;
  requestBody?: { content?: Json; required?: boolean };
  security?: Record<string, unknown>[];
  [OPTIONAL_BODY]?: boolean;
}

/** Statuses whose responses have no body in HTTP. */
const WITHOUT_BODY = new Set(["204", "304"]);

const DESCRIPTIONS: Readonly<Record<string, string>> = {
  200: "Success",
  304: "Not modified since the reply with this ETag",
  400: "Malformed request",
  401: "Missing or invalid token",
  403: "Forbidden; the message says why",
  404: "Not found, or owned by another user",
  409: "Not possible in the current state; the message says why",
  412: "Changed since the ETag of If-Match; nothing was stored",
  413: "Body too large",
  415: "Content-Type must be application/json, without a Content-Encoding",
  422: "Invalid body or parameter",
  429: "Rate limit or quota exceeded; retry after Retry-After",
  500: "Internal error",
  503: "Unavailable; the message says what is missing. Retry after Retry-After",
};

function jsonOnly(content: Json | undefined): Json {
  return content?.["application/json"]
    ? { "application/json": content["application/json"] }
    : (content ?? {});
}

function normalizeSchema(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(normalizeSchema);
  if (typeof value !== "object" || value === null) return value;
  // Elysia adds additionalProperties when it first serves a request; with it, the text would depend on the time.
  const {
    $id: _,
    additionalProperties: _closed,
    const: constant,
    patternProperties,
    [PUBLISHED]: published,
    ...rest
  } = value as Json;
  // Generated clients have a type of their own for UUIDs, which is no text that a pattern could match.
  if (rest["format"] === "uuid") delete rest["pattern"];
  const out = Object.fromEntries(
    Object.entries(rest).map(([key, one]) => [key, normalizeSchema(one)]),
  ) as Json;
  // A record. Generators understand additionalProperties better.
  if (patternProperties) out["additionalProperties"] = normalizeSchema(Object.values(patternProperties)[0]);
  // A schema has a list of examples, a parameter one.
  if ("in" in out && Array.isArray(out["examples"])) {
    out["example"] = out["examples"][0];
    delete out["examples"];
  }
  Object.assign(out, published);
  if (constant !== undefined) return { ...out, enum: [constant] };
  return Array.isArray(out["anyOf"]) ? normalizeUnion(out) : out;
}

/**
 * anyOf of single values → one enum; a number that Elysia also parses from text → a number; any other anyOf → oneOf, of
 * which more generators make a union. No value here is of two of its schemas.
 */
function normalizeUnion(schema: Json): Json {
  const all = (schema["anyOf"] as Json[]).filter(
    (one) => !(one["type"] === "string" && /^(integer|numeric|boolean)$/.test(String(one["format"]))),
  );
  const real = all.filter((one) => one["type"] !== "null");
  const nothing = real.length < all.length ? [{ type: "null" }] : [];
  const { anyOf: _, ...rest } = schema;
  const values = real.flatMap((one) => (one["enum"] as unknown[] | undefined) ?? []);
  const onlyValues = real.every((one) => Array.isArray(one["enum"]) && one["description"] === undefined);
  const choices = onlyValues && real.length > 1 ? [{ type: "string", enum: values }] : real;
  if (choices.length === 1 && nothing.length === 0) return { ...rest, ...choices[0] };
  return { ...rest, oneOf: [...choices, ...nothing] };
}
