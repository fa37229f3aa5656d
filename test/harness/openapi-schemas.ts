import { Ajv } from "ajv";
import addFormats from "ajv-formats";

export type Json = Record<string, unknown>;

/** Validates by the schemas of an OpenAPI 3.0 description. */
export interface OpenApiSchemas {
  /** What a reference leads to; anything else is itself. */
  resolve(value: unknown): Json;
  /**
   * @param key tells schemas apart: each is compiled once.
   * @param closed whether an object at the top may have no other fields than those that are described.
   * @returns what is wrong with the value. Empty: nothing.
   */
  problems(key: string, schema: unknown, value: unknown, closed?: boolean): readonly string[];
}

/** Descriptions are large: a part of one is compiled when it is first used, and shared by all that refer to it. */
export function openApiSchemas(description: Json): OpenApiSchemas {
  const ajv = new Ajv({ strict: false, inlineRefs: false, code: { optimize: false }, logger: false });
  (addFormats as unknown as (ajv: Ajv) => void)(ajv);

  const partAt = ($ref: string): unknown =>
    $ref
      .replace(/^#\//, "")
      .split("/")
      .reduce<unknown>(
        (at, key) => (at as Json)[decodeURIComponent(key).replaceAll("~1", "/").replaceAll("~0", "~")],
        description,
      );

  /** As JSON Schema: `nullable` becomes a type, because Ajv knows it beside `type` only. */
  const convert = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(convert);
    if (typeof value !== "object" || value === null) return value;
    const { $ref, nullable, example, examples, discriminator, ...rest } = value as Json;
    if (typeof $ref === "string") {
      return { $ref: add($ref, () => convert(partAt($ref)) as Json) };
    }
    const converted = Object.fromEntries(
      Object.entries(rest).map(([key, one]) => [
        key,
        // The names of properties are no keywords.
        key === "properties" ? mapValues(one as Json, convert) : key === "enum" ? one : convert(one),
      ]),
    );
    return nullable === true ? { anyOf: [converted, { type: "null" }] } : converted;
  };

  /** Names of what Ajv knows, by where it is in the description, or what it is used for. */
  const names = new Map<string, string>();
  const add = (key: string, make: () => Json): string => {
    const held = names.get(key);
    if (held) return held;
    const name = `schema-${names.size}`;
    // Before it is made: schemas refer to themselves.
    names.set(key, name);
    ajv.addSchema(make(), name);
    return name;
  };

  const resolve = (value: unknown): Json => {
    const { $ref } = value as { $ref?: unknown };
    return typeof $ref === "string" ? resolve(partAt($ref)) : (value as Json);
  };

  return {
    resolve,
    problems(key, schema, value, closed = false) {
      const name = add(key, () => {
        const top = convert(closed ? resolve(schema) : schema) as Json;
        const close = closed && "properties" in top && !("additionalProperties" in top);
        return { ...top, ...(close && { additionalProperties: false }) };
      });
      const validate = ajv.getSchema(name);
      if (!validate || validate(value)) return [];
      return (validate.errors ?? []).map(
        ({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
      );
    },
  };
}

const mapValues = (object: Json, change: (value: unknown) => unknown): Json =>
  Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]));
