import Ajv, { type ValidateFunction } from "ajv";
import addFormats from "ajv-formats";

export interface Schema {
  $ref?: string;
  type?: string | string[];
  format?: string;
  pattern?: string;
  enum?: unknown[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  anyOf?: Schema[];
  allOf?: Schema[];
  oneOf?: Schema[];
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  [more: string]: unknown;
}

export interface Operation {
  operationId: string;
  method: string;
  path: string;
  parameters: { name: string; in: string; required?: boolean; schema: Schema }[];
  body: Schema | undefined;
  /** Media types and schemas, by status. */
  responses: Record<string, Record<string, Schema | undefined>>;
}

interface Document {
  paths: Record<string, Record<string, Record<string, unknown>>>;
  components: { schemas: Record<string, Schema> };
}

/** The operations of an OpenAPI 3.1 document, and validators of their replies. */
export function readDocument(text: string) {
  const document = JSON.parse(text) as Document;
  const { schemas } = document.components;
  const ajv = new Ajv({ strict: false, allErrors: false });
  addFormats(ajv);
  ajv.addSchema({ $id: "document", components: { schemas: draft7(schemas) } });
  const compiled = new Map<Schema, ValidateFunction>();

  const operations: Operation[] = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => {
      const { requestBody, responses, parameters, operationId } = operation as {
        requestBody?: { content?: Record<string, { schema?: Schema }> };
        responses: Record<string, { content?: Record<string, { schema?: Schema }> }>;
        parameters?: Operation["parameters"];
        operationId: string;
      };
      return {
        operationId,
        method: method.toUpperCase(),
        path,
        parameters: parameters ?? [],
        body: requestBody?.content?.["application/json"]?.schema,
        responses: Object.fromEntries(
          Object.entries(responses).map(([status, { content = {} }]) => [
            status,
            Object.fromEntries(Object.entries(content).map(([media, { schema }]) => [media, schema])),
          ]),
        ),
      };
    }),
  );

  return {
    operations,
    resolve(schema: Schema): Schema {
      return schema.$ref ? (schemas[schema.$ref.split("/").at(-1) ?? ""] ?? {}) : schema;
    },
    /** What is wrong with a reply's body, or undefined. */
    problemWith(schema: Schema, body: unknown): string | undefined {
      let validate = compiled.get(schema);
      if (!validate) {
        validate = ajv.compile(draft7(schema) as object);
        compiled.set(schema, validate);
      }
      return validate(body) ? undefined : ajv.errorsText(validate.errors);
    },
  };
}

/** References lead into the document. */
function draft7(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(draft7);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [
      key,
      key === "$ref" ? String(one).replace("#/components", "document#/components") : draft7(one),
    ]),
  );
}
