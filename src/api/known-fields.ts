import { type TObject, type TSchema, Type as t } from "@sinclair/typebox";
import { type TypeCheck, TypeCompiler, type ValueError, ValueErrorType } from "@sinclair/typebox/compiler";
import type { AnyElysia } from "elysia";
import { AppError } from "../shared/errors.ts";
import { nearest } from "../shared/nearest.ts";

/** Problems that one reply names, and how far they are looked for. */
const NAMED = 3;
const LOOKED_AT = 64;
/** Longest name that is shown whole. */
const MAX_NAME = 40;

/** What a route takes. */
interface Input {
  body: TypeCheck<TSchema>;
  parameters: readonly string[];
}

/**
 * Transform of guarded routes: refuses query parameters and body fields that the route does not know, at every depth of
 * its schema, because what a client believes to be a filter or a limit must not be ignored. What a schema leaves open
 * (`AnyJson`, records) may have any fields.
 *
 * It validates bodies as they were sent. Elysia rebuilds them from the schema before it does: unknown fields are gone
 * then, text is an object without fields, and a missing field is there as undefined, which is good enough for `t.Any`.
 *
 * A body that is not there is left to the schema.
 * @param root has all routes by the time of the first request.
 */
export function requireKnownFields(root: () => AnyElysia) {
  let inputs: Map<string, Input> | undefined;
  return ({ request, route, query, body }: RequestContext): void => {
    inputs ??= inputsOf(root());
    // Elysia answers HEAD by the route of GET.
    const input = inputs.get(`${request.method === "HEAD" ? "GET" : request.method} ${route}`);
    if (!input) throw new Error(`${request.method} ${route} is not among the app's routes`);
    const unknown = Object.keys(query).filter((name) => !input.parameters.includes(name));
    if (unknown.length > 0)
      throw refusal(
        unknown
          .slice(0, NAMED)
          .map((name) => `${shown(name)}: unknown query parameter; ${hint(name, input.parameters)}`),
        [],
      );
    if (body === null || body === undefined || input.body.Check(body)) return;
    throw bodyRefusal(input.body, body);
  };
}

interface RequestContext {
  request: Request;
  /** As registered: `/sessions/:id`. */
  route: string;
  query: Record<string, unknown>;
  body: unknown;
}

function inputsOf(app: AnyElysia): Map<string, Input> {
  const models = app["definitions"].type as Record<string, TSchema>;
  const schemaOf = (schema: string | TSchema | undefined) =>
    (typeof schema === "string" ? models[schema] : schema) ?? t.Object({});
  return new Map(
    app.routes.map(({ method, path, hooks }) => [
      `${method} ${path}`,
      {
        body: TypeCompiler.Compile(closed(schemaOf(hooks.body))),
        parameters: Object.keys((schemaOf(hooks.query) as TObject).properties),
      },
    ]),
  );
}

/** The schema without other fields than its own. @returns a copy: replies may share it. */
function closed(schema: TSchema): TSchema {
  return {
    ...schema,
    ...(schema["properties"] && {
      properties: Object.fromEntries(
        Object.entries(schema["properties"] as Record<string, TSchema>).map(([k, v]) => [k, closed(v)]),
      ),
      additionalProperties: false,
    }),
    ...(schema["items"] && { items: closed(schema["items"]) }),
    ...(schema["anyOf"] && { anyOf: (schema["anyOf"] as TSchema[]).map(closed) }),
  };
}

function bodyRefusal(check: TypeCheck<TSchema>, body: unknown): AppError {
  const unknown: string[] = [];
  const other = new Map<string, string>();
  for (const error of atMost(LOOKED_AT, innermost(check.Errors(body)))) {
    const { path, type, schema, message } = error;
    if (type === ValueErrorType.ObjectAdditionalProperties) {
      const name = segments(path).at(-1) ?? "";
      unknown.push(`${fieldName(path)}: unknown field; ${hint(name, Object.keys(schema["properties"]))}`);
    } else if (!other.has(path))
      other.set(
        path,
        `${fieldName(path) || "body"}: ${type === ValueErrorType.ObjectRequiredProperty ? "is missing" : (choiceOf(schema) ?? message)}`,
      );
  }
  return refusal(unknown, [...other.values()]);
}

const refusal = (unknown: string[], other: string[]) =>
  new AppError(
    unknown.length > 0 ? "unknown_field" : "invalid",
    [...unknown, ...other].slice(0, NAMED).join("; "),
  );

/** That no alternative of a union fits says little: of an object that was sent, what is wrong with it. */
function* innermost(errors: Iterable<ValueError>): Generator<ValueError> {
  for (const error of errors) {
    const alternatives = (error.schema["anyOf"] ?? []) as TSchema[];
    const isObject = typeof error.value === "object" && !Array.isArray(error.value);
    const inner = isObject && error.errors[alternatives.findIndex(({ type }) => type === "object")];
    if (inner) yield* innermost(inner);
    else yield error;
  }
}

/** What a field may be that has alternatives. Undefined: it has none, or they are objects, of which this would say little. */
export function choiceOf(schema: TSchema): string | undefined {
  const choices = schema["anyOf"] ? alternativesOf(schema) : [];
  const said = choices.map(inWords);
  return said.length === 0 || said.includes(undefined) ? undefined : `must be ${listed(said as string[])}`;
}

function alternativesOf(schema: TSchema): TSchema[] {
  const inner = schema["anyOf"] as TSchema[] | undefined;
  // Elysia's numbers may also be text, for queries.
  return (
    inner?.flatMap(alternativesOf).filter(({ format }) => !/^(integer|numeric)$/.test(format)) ?? [schema]
  );
}

function inWords({
  const: word,
  type,
  pattern,
  minimum,
  exclusiveMinimum,
  maximum,
}: TSchema): string | undefined {
  if (word !== undefined) return String(word);
  if (type === "null") return type;
  if (type === "string") return pattern === undefined ? "text" : `text that matches ${pattern}`;
  if (type !== "integer" && type !== "number") return undefined;
  const least = exclusiveMinimum === undefined ? minimum : `above ${exclusiveMinimum}`;
  const most = maximum === undefined ? undefined : `${least === undefined ? "up " : ""}to ${maximum}`;
  const range = [least, most].filter((one) => one !== undefined).join(" ");
  return [type === "integer" ? "an integer" : "a number", range].filter(Boolean).join(" ");
}

const listed = (words: readonly string[]): string =>
  words.length < 2 ? words.join() : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;

function* atMost<T>(count: number, all: Iterable<T>): Generator<T> {
  let left = count;
  for (const one of all) {
    if (left === 0) return;
    left -= 1;
    yield one;
  }
}

/** What a validation error is about: `ids.0`. @param pointer a JSON pointer; "" for the whole. */
export const fieldName = (pointer: string): string => segments(pointer).map(shown).join(".");

const segments = (pointer: string): string[] =>
  pointer
    .split("/")
    .slice(1)
    .map((one) => one.replaceAll("~1", "/").replaceAll("~0", "~"));

/** Names come from clients, and a message is one short line. */
function shown(name: string): string {
  if (/^[\w-]+$/.test(name) && name.length <= MAX_NAME) return name;
  const cut = name.length > MAX_NAME ? `${name.slice(0, MAX_NAME).toWellFormed()}…` : name;
  return JSON.stringify(cut);
}

function hint(name: string, known: readonly string[]): string {
  const near = nearest(name, known);
  if (near !== undefined) return `did you mean ${near}?`;
  return known.length > 0 ? `known are ${known.join(", ")}` : "none is known here";
}
