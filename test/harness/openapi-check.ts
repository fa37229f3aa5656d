import { type Json, openApiSchemas } from "./openapi-schemas.ts";

export interface ApiRequest {
  method: string;
  /** Beneath the API's base URL, percent-encoded: /repos/a/b/pulls. */
  path: string;
  query: URLSearchParams;
  /** Undefined: none was sent. */
  body: unknown;
}

export interface ApiReply {
  status: number;
  /** Undefined: none is sent. */
  body: unknown;
}

export interface OpenApiCheck {
  /** Which of the expected operations a request is for, and the parameters of its path; undefined: none of them. */
  operationOf(
    request: Pick<ApiRequest, "method" | "path">,
  ): { operation: string; parameters: Readonly<Record<string, string>> } | undefined;
  /** What of a request is not as described; fields and parameters that are not described included. */
  violationsOfRequest(request: ApiRequest): readonly string[];
  violationsOfReply(request: ApiRequest, reply: ApiReply): readonly string[];
  /** The description's own example of a reply, to be changed at will. */
  exampleOf(operation: string, status: number): unknown;
}

/** What every operation may answer although its description does not list it, such as a rate limit. */
interface Anywhere {
  statuses: readonly number[];
  schema: Json;
}

/**
 * Checks the requests and replies of a stand-in against the OpenAPI 3 description of the API that it stands in for.
 * @param options.operations the expected ones, as "get /repos/{owner}/{repo}": any other request is a violation.
 */
export function openApiCheck(options: {
  description: Json;
  operations: readonly string[];
  anywhere: Anywhere;
}): OpenApiCheck {
  const { description, anywhere } = options;
  const { resolve, problems } = openApiSchemas(description);
  const operations = options.operations.map((operation) => {
    const [method = "", path = ""] = operation.split(" ");
    const item = (description["paths"] as Json)[path] as Json | undefined;
    const described = item?.[method] as Json | undefined;
    if (!item || !described) throw new Error(`the description has no ${operation}`);
    return {
      operation,
      method,
      pattern: patternOf(path),
      names: [...path.matchAll(/\{([^}]+)\}/g)].map(([, name = ""]) => name),
      parameters: [item, described].flatMap((one) => (one["parameters"] ?? []) as unknown[]).map(resolve),
      body: described["requestBody"] ? resolve(described["requestBody"]) : undefined,
      replies: described["responses"] as Json,
    };
  });
  type Operation = (typeof operations)[number];

  const find = ({ method, path }: Pick<ApiRequest, "method" | "path">) =>
    operations.find((one) => one.method === method.toLowerCase() && one.pattern.test(path));

  const pathParameters = ({ pattern, names }: Operation, path: string) => {
    const values = pattern.exec(path)?.slice(1) ?? [];
    return names.map((name, index) => [name, decodeURIComponent(values[index] ?? "")] as const);
  };

  function parameterProblems(found: Operation, request: ApiRequest) {
    const { operation, parameters } = found;
    const given = [
      ...pathParameters(found, request.path).map(([name, value]) => [`path ${name}`, value] as const),
      ...[...request.query].map(([name, value]) => [`query ${name}`, value] as const),
    ];
    const known = new Map(parameters.map((one) => [`${one["in"]} ${one["name"]}`, one]));
    const missing = [...known].filter(
      ([name, { required }]) =>
        required && !name.startsWith("header ") && !given.some(([one]) => one === name),
    );
    return [
      ...missing.map(([name]) => `${name} is missing`),
      ...given.flatMap(([name, text]) => {
        const schema = known.get(name)?.["schema"];
        if (schema === undefined) return [`${name} is not described`];
        const found = problems(`${operation} ${name}`, schema, parameterValue(text, resolve(schema)));
        return found.map((problem) => `${name}${problem}`);
      }),
    ];
  }

  function bodyProblems({ operation, body: described }: Operation, { body }: ApiRequest) {
    if (body === undefined) return described?.["required"] ? ["the body is missing"] : [];
    const schema = jsonOf(described)?.["schema"];
    if (schema === undefined) return ["has a body, which is not described"];
    return problems(`${operation} body`, schema, body, true).map((problem) => `body${problem}`);
  }

  return {
    operationOf(request) {
      const found = find(request);
      return (
        found && {
          operation: found.operation,
          parameters: Object.fromEntries(pathParameters(found, request.path)),
        }
      );
    },

    violationsOfRequest(request) {
      const found = find(request);
      const all = found
        ? [...parameterProblems(found, request), ...bodyProblems(found, request)]
        : ["no such operation is expected"];
      return all.map((problem) => `${request.method} ${request.path}: ${problem}`);
    },

    violationsOfReply(request, { status, body }) {
      const found = find(request);
      if (!found) return [];
      const told = (problem: string) => `${request.method} ${request.path} answered ${status}: ${problem}`;
      const described = found.replies[status];
      if (!described && !anywhere.statuses.includes(status)) return [told("the status is not described")];
      const schema = described ? jsonOf(resolve(described))?.["schema"] : anywhere.schema;
      // Some statuses are described without a body that they have.
      if (schema === undefined) return [];
      return problems(`${found.operation} ${status}`, schema, body).map((problem) => told(`body${problem}`));
    },

    exampleOf(operation, status) {
      const described = operations.find((one) => one.operation === operation)?.replies[status];
      const examples = jsonOf(described && resolve(described))?.["examples"] as Json | undefined;
      const [first] = Object.values(examples ?? {});
      if (first === undefined) throw new Error(`the description has no example of ${operation}, ${status}`);
      return structuredClone(resolve(first)["value"]);
    },
  };
}

/** Of paths: a parameter is one segment. */
function patternOf(path: string): RegExp {
  const parts = path.split(/\{[^}]+\}/).map((part) => part.replace(/[.*+?^$()[\]\\|]/g, "\\$&"));
  return new RegExp(`^${parts.join("([^/]+)")}$`);
}

const jsonOf = (part: unknown): Json | undefined =>
  ((part as Json | undefined)?.["content"] as Json | undefined)?.["application/json"] as Json | undefined;

/** A parameter as its schema means it: what comes in a URL is text. */
function parameterValue(text: string, { type }: Json): unknown {
  if ((type === "integer" || type === "number") && /^-?\d+(\.\d+)?$/.test(text)) return Number(text);
  if (type === "boolean" && /^(true|false)$/.test(text)) return text === "true";
  return text;
}
