type Json = { [key: string]: unknown };

/** As @elysiajs/swagger generates it. */
export interface RawDocument extends Json {
  paths: Record<string, Record<string, Operation>>;
}

/**
 * Turns the generator's output into valid OpenAPI 3.0.3, of which linters and strict parsers do not complain. The
 * generator leaves `$id` in responses, responses without descriptions, three media types per body, and JSON Schema
 * keywords that OpenAPI 3.0 does not have.
 */
export function normalizeOpenApi({ paths: found, ...rest }: RawDocument): Json {
  const paths = Object.fromEntries(
    Object.entries(found).map(([path, operations]) => withContractNames(path, operations)),
  );
  for (const path of Object.values(paths))
    for (const operation of Object.values(path)) {
      for (const [status, response] of Object.entries(operation.responses ?? {})) {
        // For errors, the generator only knows the description that all of them share.
        if (!response.description || Number(status) >= 400)
          response.description = DESCRIPTIONS[status] ?? response.description ?? "";
        if (WITHOUT_BODY.has(status)) delete response.content;
        else response.content = jsonOnly(response.content);
      }
      if (operation.requestBody) operation.requestBody.content = jsonOnly(operation.requestBody.content);
    }
  return withReferences(normalizeSchema({ ...rest, paths }) as Json);
}

/** Replaces every copy of a component inside other schemas with a reference to it. */
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

/** The enum of a nullable enum. */
function withoutNull({ nullable, ...rest }: Json): Json | undefined {
  const values = rest["enum"];
  return nullable === true && Array.isArray(values)
    ? { ...rest, enum: values.filter((value) => value !== null) }
    : undefined;
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

interface Operation {
  parameters?: { name: string }[];
  responses?: Record<string, { description?: string; content?: Json }>;
  requestBody?: { content?: Json };
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
    examples,
    const: constant,
    patternProperties,
    ...rest
  } = value as Json;
  const out = Object.fromEntries(
    Object.entries(rest).map(([key, one]) => [key, normalizeSchema(one)]),
  ) as Json;
  // A record: OpenAPI 3.0 only has additionalProperties.
  if (patternProperties) out["additionalProperties"] = normalizeSchema(Object.values(patternProperties)[0]);
  if (Array.isArray(examples)) out["example"] = examples[0];
  else if (examples !== undefined) out["examples"] = normalizeSchema(examples);
  if (constant !== undefined) return { ...out, enum: [constant] };
  return Array.isArray(out["anyOf"]) ? normalizeUnion(out) : out;
}

/** anyOf with null → nullable; anyOf of single values → one enum; a number that Elysia also parses from text → a number. */
function normalizeUnion(schema: Json): Json {
  const all = (schema["anyOf"] as Json[]).filter(
    (one) => !(one["type"] === "string" && /^(integer|numeric|boolean)$/.test(String(one["format"]))),
  );
  const real = all.filter((one) => one["type"] !== "null");
  const nullable = real.length < all.length ? { nullable: true } : {};
  const { anyOf: _, ...rest } = schema;
  const values = real.flatMap((one) => (one["enum"] as unknown[] | undefined) ?? []);
  if (real.every((one) => Array.isArray(one["enum"])) && real.length > 0) {
    return { ...rest, type: "string", enum: nullable.nullable ? [...values, null] : values, ...nullable };
  }
  if (real.length === 1) return { ...rest, ...real[0], ...nullable };
  return { ...rest, anyOf: real, ...nullable };
}
