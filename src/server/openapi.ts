type Json = { [key: string]: unknown };

/** As @elysiajs/swagger makes it. */
export interface RawDocument extends Json {
  paths: Record<string, Record<string, Operation>>;
}

/**
 * What the generator leaves: `$id` in replies, no descriptions of replies, three media types a body, and words of JSON
 * Schema that OpenAPI 3.0 says in its own way. Linters and strict parsers find nothing in what comes out.
 */
export function mend({ paths: found, ...rest }: RawDocument): Json {
  const paths = Object.fromEntries(
    Object.entries(found).map(([path, operations]) => named(path, operations)),
  );
  for (const path of Object.values(paths))
    for (const operation of Object.values(path)) {
      for (const [status, reply] of Object.entries(operation.responses ?? {})) {
        // Of an error, the generator knows only what all of them have in common.
        if (!reply.description || Number(status) >= 400)
          reply.description = DESCRIPTIONS[status] ?? reply.description ?? "";
        if (BODILESS.has(status)) delete reply.content;
        else reply.content = jsonOnly(reply.content);
      }
      if (operation.requestBody) operation.requestBody.content = jsonOnly(operation.requestBody.content);
    }
  return withReferences(mendSchema({ ...rest, paths }) as Json);
}

/** Where a component stands again inside another schema, a reference to it. */
function withReferences(document: Json): Json {
  const { schemas } = document["components"] as { schemas: Record<string, Json> };
  const names = new Map(Object.entries(schemas).map(([name, schema]) => [JSON.stringify(schema), name]));
  const refer = (value: unknown, top = false): unknown => {
    if (Array.isArray(value)) return value.map((one) => refer(one));
    if (typeof value !== "object" || value === null) return value;
    const name = top ? undefined : names.get(JSON.stringify(value));
    if (name !== undefined) return { $ref: `#/components/schemas/${name}` };
    const orNull = top ? undefined : names.get(JSON.stringify(withoutNull(value as Json)));
    if (orNull !== undefined)
      return {
        anyOf: [{ $ref: `#/components/schemas/${orNull}` }, { type: "string", nullable: true, enum: [null] }],
      };
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, refer(one)]));
  };
  const components = Object.fromEntries(
    Object.entries(schemas).map(([name, schema]) => [name, refer(schema, true)]),
  );
  return {
    ...(refer({ ...document, components: {} }) as Json),
    components: { ...(document["components"] as Json), schemas: components },
  };
}

/** Of an enum that may be null, the enum. */
function withoutNull({ nullable, ...rest }: Json): Json | undefined {
  const words = rest["enum"];
  return nullable === true && Array.isArray(words)
    ? { ...rest, enum: words.filter((word) => word !== null) }
    : undefined;
}

/** The contract's names for parameters that Elysia's router knows by one name at one place. */
const NAMES: Readonly<Record<string, string>> = {
  "/sessions/{id}/prompts": "session_id",
  "/prompts/{id}/messages": "prompt_id",
};

function named(path: string, operations: Record<string, Operation>): [string, Record<string, Operation>] {
  const name = NAMES[path];
  if (name === undefined) return [path, operations];
  for (const { parameters } of Object.values(operations))
    for (const parameter of parameters ?? []) if (parameter.name === "id") parameter.name = name;
  return [path.replace("{id}", `{${name}}`), operations];
}

interface Operation {
  parameters?: { name: string }[];
  responses?: Record<string, { description?: string; content?: Json }>;
  requestBody?: { content?: Json };
}

/** Replies that HTTP lets have no body. */
const BODILESS = new Set(["204", "304"]);

const DESCRIPTIONS: Readonly<Record<string, string>> = {
  200: "It worked",
  304: "The reply with this ETag still holds",
  400: "The request is malformed",
  401: "No token, or not a good one",
  403: "This is closed, to you or to everybody; the message says why",
  404: "It does not exist, or it is somebody else's",
  409: "It cannot be done in the state that things are in; the message says why",
  413: "The body is too large",
  415: "The body is not called JSON",
  422: "The body or a parameter has the wrong shape",
  429: "Too many requests, or too many unfinished prompts; Retry-After says when to come again",
  500: "Something went wrong inside the service",
  503: "Not now; the message says what is missing",
};

function jsonOnly(content: Json | undefined): Json {
  return content?.["application/json"]
    ? { "application/json": content["application/json"] }
    : (content ?? {});
}

function mendSchema(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(mendSchema);
  if (typeof value !== "object" || value === null) return value;
  // Elysia closes objects when it first serves a request, so that the text would depend on when it is asked for.
  const {
    $id: _,
    additionalProperties: _closed,
    examples,
    const: constant,
    patternProperties,
    ...rest
  } = value as Json;
  const out = Object.fromEntries(Object.entries(rest).map(([key, one]) => [key, mendSchema(one)])) as Json;
  // A record: in 3.0 there is a word for values of any key only.
  if (patternProperties) out["additionalProperties"] = mendSchema(Object.values(patternProperties)[0]);
  if (Array.isArray(examples)) out["example"] = examples[0];
  else if (examples !== undefined) out["examples"] = mendSchema(examples);
  if (constant !== undefined) return { ...out, enum: [constant] };
  return Array.isArray(out["anyOf"]) ? mendUnion(out) : out;
}

/** anyOf with null → nullable; anyOf of single words → one enum; a number that Elysia reads from text, too → a number. */
function mendUnion(schema: Json): Json {
  const all = (schema["anyOf"] as Json[]).filter(
    (one) => !(one["type"] === "string" && /^(integer|numeric|boolean)$/.test(String(one["format"]))),
  );
  const real = all.filter((one) => one["type"] !== "null");
  const nullable = real.length < all.length ? { nullable: true } : {};
  const { anyOf: _, ...rest } = schema;
  const words = real.flatMap((one) => (one["enum"] as unknown[] | undefined) ?? []);
  if (real.every((one) => Array.isArray(one["enum"])) && real.length > 0) {
    return { ...rest, type: "string", enum: nullable.nullable ? [...words, null] : words, ...nullable };
  }
  if (real.length === 1) return { ...rest, ...real[0], ...nullable };
  return { ...rest, anyOf: real, ...nullable };
}
