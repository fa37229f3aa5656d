/** As much of OpenAPI 3.0 and 3.1 as is compared. What is written by hand may leave out the rest. */
export interface Schema {
  $ref?: string;
  type?: string | string[];
  format?: string;
  nullable?: boolean;
  enum?: unknown[];
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
}
interface Body {
  required?: boolean;
  content?: Record<string, { schema?: Schema }>;
}
export interface Operation {
  operationId: string;
  security?: Record<string, unknown>[];
  parameters?: { name: string; in: string; required?: boolean; schema?: Schema }[];
  requestBody?: Body;
  responses: Record<string, Body>;
}
export interface OpenApi {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
}

/** What a value may be. `types` undefined: anything. */
interface Shape {
  types?: Set<string>;
  formats: Set<string>;
  values?: Set<unknown>;
  properties: Record<string, Schema>;
  required: Set<string>;
  items?: Schema;
}
type Side = "request" | "response";
type Resolve = (schema: Schema | undefined) => Shape;

/**
 * What in `after` would break a client of `before`, one line each: clients may send all that they could, and find all
 * that they read. Of a value's limits (length, pattern, range) only its format is compared.
 */
export function breaks(before: OpenApi, after: OpenApi): string[] {
  const was = resolver(before);
  const is = resolver(after);
  const found: string[] = [];
  for (const name of Object.keys(before.components.schemas))
    if (!after.components.schemas[name]) found.push(`schema ${name}: is gone`);

  for (const [path, operations] of Object.entries(before.paths))
    for (const [method, old] of Object.entries(operations)) {
      const at = `${method.toUpperCase()} ${path}`;
      const now = after.paths[path]?.[method];
      if (now) found.push(...operationBreaks(old, now, was, is).map((one) => `${at} ${one}`));
      else found.push(`${at}: is gone`);
    }
  return found;
}

function operationBreaks(old: Operation, now: Operation, was: Resolve, is: Resolve): string[] {
  const found: string[] = [];
  if (now.operationId !== old.operationId)
    found.push(`operationId: ${old.operationId} became ${now.operationId}`);
  if (!stillLetIn(old.security ?? [], now.security ?? []))
    found.push("security: what was enough is not any more");

  const same = (a: { name: string; in: string }) => (b: { name: string; in: string }) =>
    a.name === b.name && a.in === b.in;
  for (const one of old.parameters ?? []) {
    const other = now.parameters?.find(same(one));
    const at = `${one.in} ${one.name}`;
    if (!other) found.push(`${at}: is gone`);
    else {
      if (other.required && !one.required) found.push(`${at}: is required now`);
      found.push(...compare(at, one.schema, other.schema, "request", was, is));
    }
  }
  for (const one of now.parameters ?? [])
    if (one.required && !old.parameters?.some(same(one)))
      found.push(`${one.in} ${one.name}: is new and required`);

  const sent = now.requestBody?.content?.["application/json"];
  const couldSend = old.requestBody?.content?.["application/json"];
  if (couldSend && !sent) found.push("request: takes no JSON any more");
  if (now.requestBody?.required && !old.requestBody?.required) found.push("request: a body is required now");
  if (couldSend && sent) found.push(...compare("request", couldSend.schema, sent.schema, "request", was, is));

  for (const [status, reply] of Object.entries(old.responses)) {
    const read = reply.content?.["application/json"];
    const given = now.responses[status]?.content?.["application/json"];
    if (!read) continue;
    if (given) found.push(...compare(status, read.schema, given.schema, "response", was, is));
    else found.push(`${status}: there is no such JSON reply any more`);
  }
  return found;
}

/** Each way in, a set of credentials, must still be one, or fewer of them be enough. */
const stillLetIn = (old: Record<string, unknown>[], now: Record<string, unknown>[]) =>
  (old.length === 0 ? [{}] : old).every((way) =>
    (now.length === 0 ? [{}] : now).some((other) => Object.keys(other).every((name) => name in way)),
  );

function compare(
  at: string,
  before: Schema | undefined,
  after: Schema | undefined,
  side: Side,
  was: Resolve,
  is: Resolve,
  depth = 0,
): string[] {
  // Deep enough for every schema here, and an end for one that contains itself.
  if (depth > 8) return [];
  const old = was(before);
  const now = is(after);
  // What is sent must fit into what is taken: into the new one in a request, into the old one in a reply.
  const [from, into] = side === "request" ? [old, now] : [now, old];
  const found: string[] = [];
  const misfits =
    into.types && (from.types ? [...from.types].filter((one) => !fits(one, into)) : ["anything"]);
  if (misfits && misfits.length > 0)
    found.push(
      `${at}: ${side === "request" ? "no longer takes" : "may now be"} ${misfits.sort().join(" or ")}`,
    );
  for (const format of into.formats)
    if (!from.formats.has(format))
      found.push(`${at}: ${side === "request" ? "takes only" : "need not be"} a ${format} now`);
  found.push(...valueBreaks(at, old, now, side));

  for (const name of Object.keys(old.properties)) {
    if (!(name in now.properties)) {
      found.push(`${at}.${name}: is gone`);
      continue;
    }
    if (side === "response" && old.required.has(name) && !now.required.has(name))
      found.push(`${at}.${name}: may be missing now`);
    found.push(
      ...compare(`${at}.${name}`, old.properties[name], now.properties[name], side, was, is, depth + 1),
    );
  }
  if (side === "request")
    for (const name of now.required)
      if (!old.required.has(name)) found.push(`${at}.${name}: is required now`);
  if (old.items) found.push(...compare(`${at}[]`, old.items, now.items, side, was, is, depth + 1));
  return found;
}

const fits = (type: string, { types }: Shape) =>
  !types || types.has(type) || (type === "integer" && types.has("number"));

/** A word that can no longer be sent, or that a client no longer meets, or that it has never heard of. */
function valueBreaks(at: string, old: Shape, now: Shape, side: Side): string[] {
  if (!old.values) {
    const narrowed = side === "request" && now.values !== undefined;
    return narrowed ? [`${at}: takes only some values now`] : [];
  }
  if (!now.values) return side === "response" ? [`${at}: may be any value now`] : [];
  const missing = [...old.values].filter((one) => one !== null && !now.values?.has(one));
  const unheard = side === "response" ? [...now.values].filter((one) => !old.values?.has(one)) : [];
  return [
    ...missing.map((one) => `${at}: ${one} is gone`),
    ...unheard.filter((one) => one !== null).map((one) => `${at}: ${one} is new, which no client knows`),
  ];
}

function resolver({ components }: OpenApi): Resolve {
  const shapeOf = (schema: Schema = {}): Shape => {
    if (schema.$ref !== undefined) {
      const target = components.schemas[schema.$ref.replace("#/components/schemas/", "")];
      if (!target) throw new Error(`${schema.$ref} leads nowhere`);
      return shapeOf(target);
    }
    const inner = (schema.anyOf ?? schema.oneOf)?.map(shapeOf);
    const whole = inner ? union(inner) : own(schema);
    if (schema.nullable) whole.types?.add("null");
    return whole;
  };
  return shapeOf;
}

const own = ({ type, format, enum: values, properties = {}, required = [], items }: Schema): Shape => ({
  ...(type !== undefined && {
    types: new Set(values?.every((one) => one === null) ? [] : [type].flat()),
  }),
  formats: new Set(format === undefined ? [] : [format]),
  ...(values && { values: new Set(values) }),
  ...(type === "null" && { values: new Set([null]) }),
  properties,
  required: new Set(required),
  ...(items && { items }),
});

/** One of several: what all of them require is required. */
function union(shapes: Shape[]): Shape {
  const all = <T>(pick: (shape: Shape) => Set<T> | undefined) => {
    const sets = shapes.map(pick);
    return sets.every((one) => one !== undefined)
      ? new Set(sets.flatMap((one) => [...(one as Set<T>)]))
      : undefined;
  };
  const types = all((one) => one.types);
  const values = all((one) => one.values);
  const objects = shapes.filter((one) => Object.keys(one.properties).length > 0);
  const items = shapes.find((one) => one.items)?.items;
  return {
    ...(types && { types }),
    ...(values && { values }),
    formats: all((one) => one.formats) ?? new Set(),
    properties: Object.assign({}, ...objects.map((one) => one.properties)),
    required: new Set(
      [...(objects[0]?.required ?? [])].filter((name) => objects.every((one) => one.required.has(name))),
    ),
    ...(items && { items }),
  };
}
