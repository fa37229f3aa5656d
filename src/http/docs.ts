import { swagger } from "@elysiajs/swagger";
import { Elysia } from "elysia";

type Json = { [key: string]: unknown };

const TAGS = [
  { name: "Health", description: "Is it there?" },
  { name: "Sessions", description: "A change to a repository, from prompt to branch" },
  { name: "Prompts", description: "What was asked for" },
  { name: "Messages", description: "What the agent said" },
  { name: "Webhooks", description: "What other services tell" },
  { name: "Me", description: "Who I am here, and what I may use" },
  { name: "Live", description: "Both, as they happen" },
];

/** The API's description, OpenAPI 3.0.3, of all routes of `app`. The same bytes that /openapi.json serves. */
export function openApiText(app: { handle(request: Request): Promise<Response> }): Promise<string> {
  return app.handle(new Request("http://localhost/openapi.json")).then((reply) => reply.text());
}

/** Serves /openapi.json: what @elysiajs/swagger generates, mended until linters and strict parsers are content. */
export function docs(version: string) {
  const info = {
    title: "prompt-backend",
    version,
    description: "Coding-agent sessions: a prompt goes in, a branch comes out.",
    license: { name: "MIT", url: "https://opensource.org/license/mit" },
  };
  const raw = "/openapi.raw";
  let text: Promise<string> | undefined;
  return (root: { handle(request: Request): Promise<Response> }) =>
    new Elysia({ name: "docs" })
      .use(
        swagger({
          path: "/openapi",
          specPath: raw,
          exclude: ["/openapi", raw, "/openapi.json"],
          documentation: {
            info,
            tags: TAGS,
            servers: [{ url: "/" }],
            components: {
              securitySchemes: {
                Bearer: { type: "http", scheme: "bearer", bearerFormat: "JWT" },
                WebhookSecret: { type: "http", scheme: "bearer" },
                WebhookSignature: { type: "apiKey", in: "header", name: "X-Webhook-Signature" },
                WebhookTimestamp: { type: "apiKey", in: "header", name: "X-Webhook-Timestamp" },
              },
            },
          },
        }),
      )
      .get(
        "/openapi.json",
        () => {
          text ??= root
            .handle(new Request(`http://localhost${raw}`))
            .then((reply) => reply.json() as Promise<Json>)

            .then((document: Json) => `${JSON.stringify(mend(document), null, 2)}\n`);
          return text.then((body) => new Response(body, { headers: { "content-type": "application/json" } }));
        },
        { detail: { hide: true } },
      );
}

/** See stack-facts: `$id` in replies, missing descriptions, three media types a body; and nullable, the 3.0 way. */
function mend(document: Json): Json {
  const { paths: found, ...rest } = document as { paths: Record<string, Record<string, Operation>> } & Json;
  const paths = Object.fromEntries(
    Object.entries(found).map(([path, operations]) =>
      path === PROMPTS_OF_SESSION ? namedSession(operations) : [path, operations],
    ),
  );
  for (const path of Object.values(paths))
    for (const operation of Object.values(path)) {
      for (const [status, reply] of Object.entries(operation.responses ?? {})) {
        reply.description ||= DESCRIPTIONS[status] ?? "An error";
        reply.content = jsonOnly(reply.content);
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

const PROMPTS_OF_SESSION = "/sessions/{id}/prompts";

/** The contract's name for the parameter, which Elysia's router cannot have beside /sessions/{id}. */
function namedSession(operations: Record<string, Operation>): [string, Record<string, Operation>] {
  for (const { parameters } of Object.values(operations))
    for (const parameter of parameters ?? []) if (parameter.name === "id") parameter.name = "session_id";
  return [PROMPTS_OF_SESSION.replace("{id}", "{session_id}"), operations];
}

interface Operation {
  parameters?: { name: string }[];
  responses?: Record<string, { description?: string; content?: Json }>;
  requestBody?: { content?: Json };
}

const DESCRIPTIONS: Readonly<Record<string, string>> = {
  200: "It worked",
  400: "The request is malformed",
  401: "No token, or not a good one",
  403: "This is closed",
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

/** anyOf with null → nullable; anyOf of single words → one enum. */
function mendUnion(schema: Json): Json {
  const all = schema["anyOf"] as Json[];
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
