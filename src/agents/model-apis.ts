import type { ModelApi } from "../db/columns.ts";

/**
 * The APIs of models that agents speak, each in its own words: what is open, where the key goes, how an error looks.
 * OPENAI_BASE_URL ends with the version (`/v1`), as every client of that API has it; the other two do not.
 */

/** What goes wrong in the proxy itself, whatever the API calls it. */
const STATUS = {
  invalid: 400,
  unauthorized: 401,
  // No client takes this one for a passing trouble.
  no_budget: 402,
  forbidden: 403,
  not_found: 404,
  no_length: 411,
  // Codex, for one, uses plain HTTP after this answer to its WebSocket.
  no_upgrade: 426,
  too_many: 429,
  failed: 500,
  unreachable: 502,
  unavailable: 503,
} as const;

export type ProxyFailure = keyof typeof STATUS;

export interface ModelApiStyle {
  /** The variable with the key, for messages. */
  keyName: string;
  /** Variables with the base URL, as programs know them; the first one is this service's, too. */
  baseUrlNames: readonly string[];
  /** The part of a path here that base URLs of this API end with: an agent's base URL, and the upstream's. */
  basePath: string;
  /** Whether an agent may ask for this; by its exact path, as sent. */
  isOpen(method: string, path: string): boolean;
  /** The token that an agent sent, in the places where its API has the key. Empty: none. */
  tokenOf(headers: Headers, query: URLSearchParams): string;
  /** The header with the real key. */
  keyHeader(key: string): readonly [name: string, value: string];
  failure(kind: ProxyFailure, message: string): Response;
}

const bearerOf = (headers: Headers) => headers.get("authorization")?.replace(/^Bearer /i, "");

const ANTHROPIC_TYPES: Readonly<Record<ProxyFailure, string>> = {
  invalid: "invalid_request_error",
  unauthorized: "authentication_error",
  no_budget: "billing_error",
  forbidden: "permission_error",
  not_found: "not_found_error",
  no_length: "invalid_request_error",
  no_upgrade: "invalid_request_error",
  too_many: "rate_limit_error",
  failed: "api_error",
  unreachable: "api_error",
  unavailable: "api_error",
};

const OPENAI_TYPES: Readonly<Record<ProxyFailure, readonly [type: string, code: string | null]>> = {
  invalid: ["invalid_request_error", null],
  unauthorized: ["invalid_request_error", "invalid_api_key"],
  no_budget: ["insufficient_quota", "insufficient_quota"],
  forbidden: ["invalid_request_error", "model_not_found"],
  not_found: ["invalid_request_error", null],
  no_length: ["invalid_request_error", null],
  no_upgrade: ["invalid_request_error", null],
  too_many: ["rate_limit_error", "rate_limit_exceeded"],
  failed: ["server_error", null],
  unreachable: ["server_error", null],
  unavailable: ["server_error", null],
};

const GOOGLE_STATUSES: Readonly<Record<ProxyFailure, string>> = {
  invalid: "INVALID_ARGUMENT",
  unauthorized: "UNAUTHENTICATED",
  no_budget: "FAILED_PRECONDITION",
  forbidden: "PERMISSION_DENIED",
  not_found: "NOT_FOUND",
  no_length: "INVALID_ARGUMENT",
  no_upgrade: "FAILED_PRECONDITION",
  too_many: "RESOURCE_EXHAUSTED",
  failed: "INTERNAL",
  unreachable: "UNAVAILABLE",
  unavailable: "UNAVAILABLE",
};

const posts = (...paths: readonly string[]) => {
  const open = new Set(paths);
  return (method: string, path: string) => method === "POST" && open.has(path);
};

/** A model's name has no slash, no percent sign and no dot in front: there is one reading of such a path. */
const GOOGLE_PATH =
  /^\/v1beta\/models\/[A-Za-z0-9][\w.-]{0,127}:(?:generateContent|streamGenerateContent|countTokens)$/;

export const MODEL_API_STYLES: Readonly<Record<ModelApi, ModelApiStyle>> = {
  anthropic: {
    keyName: "ANTHROPIC_API_KEY",
    baseUrlNames: ["ANTHROPIC_BASE_URL"],
    basePath: "",
    isOpen: posts("/v1/messages", "/v1/messages/count_tokens"),
    tokenOf: (headers) => headers.get("x-api-key") ?? bearerOf(headers) ?? "",
    keyHeader: (key) => ["x-api-key", key],
    failure: (kind, message) =>
      Response.json(
        { type: "error", error: { type: ANTHROPIC_TYPES[kind], message } },
        { status: STATUS[kind] },
      ),
  },
  openai: {
    keyName: "OPENAI_API_KEY",
    baseUrlNames: ["OPENAI_BASE_URL"],
    basePath: "/v1",
    // Codex shortens long conversations with `compact`. No agent needs the list of models to start.
    isOpen: posts("/v1/chat/completions", "/v1/responses", "/v1/responses/compact"),
    tokenOf: (headers) => bearerOf(headers) ?? "",
    keyHeader: (key) => ["authorization", `Bearer ${key}`],
    failure(kind, message) {
      const [type, code] = OPENAI_TYPES[kind];
      return Response.json({ error: { message, type, param: null, code } }, { status: STATUS[kind] });
    },
  },
  google: {
    keyName: "GEMINI_API_KEY",
    // Google's own clients have the other one.
    baseUrlNames: ["GEMINI_BASE_URL", "GOOGLE_GEMINI_BASE_URL"],
    basePath: "",
    isOpen: (method, path) => method === "POST" && GOOGLE_PATH.test(path),
    tokenOf: (headers, query) => headers.get("x-goog-api-key") ?? query.get("key") ?? bearerOf(headers) ?? "",
    keyHeader: (key) => ["x-goog-api-key", key],
    failure: (kind, message) =>
      Response.json(
        { error: { code: STATUS[kind], message, status: GOOGLE_STATUSES[kind] } },
        { status: STATUS[kind] },
      ),
  },
};

/** Under which names an agent has its access to the model, where they are not the usual ones of its API. */
export interface ModelVariables {
  baseUrlEnv?: string | undefined;
  keyEnv?: string | undefined;
}

/** The variables of a run's access: under the usual names of the API, unless others are given. */
export function modelEnvironment(
  api: ModelApi,
  { baseUrl, token }: { baseUrl: string; token: string },
  { baseUrlEnv, keyEnv }: ModelVariables = {},
): { baseUrl: Record<string, string>; key: Record<string, string> } {
  const { keyName, baseUrlNames } = MODEL_API_STYLES[api];
  const names = baseUrlEnv === undefined ? baseUrlNames : [baseUrlEnv];
  return {
    baseUrl: Object.fromEntries(names.map((name) => [name, baseUrl])),
    key: { [keyEnv ?? keyName]: token },
  };
}

/** Parameters that are credentials at one of the APIs, or (with a dollar sign) Google's for what a header says otherwise. */
const NOT_THE_AGENTS = /^(?:key|api[-_]?key|access_token|oauth_token|\$.*)$/i;

/** A query as it may go to the API: byte for byte, less what would be a credential of the agent's. */
export function forwardedQuery(search: string): string {
  const kept = search
    .slice(1)
    .split("&")
    .filter((part) => part !== "" && !NOT_THE_AGENTS.test([...new URLSearchParams(part).keys()][0] ?? ""));
  return kept.length > 0 ? `?${kept.join("&")}` : "";
}
