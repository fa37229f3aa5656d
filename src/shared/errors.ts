/**
 * What a reply calls its kind of error in `err`; the published clients know these words, and each has one HTTP status
 * (api/error-reply.ts).
 */
export type ErrorKind =
  | "bad_request"
  | "unauthorized"
  | "forbidden"
  | "not_found"
  | "method_not_allowed"
  | "conflict"
  | "too_large"
  | "unsupported_media_type"
  | "invalid"
  | "too_many_requests"
  | "unavailable"
  | "internal";

/**
 * Every code that a reply may have, and its kind. Codes are stable and part of the API; there is a specific one where a
 * client would act differently, else the kind itself is the code. docs/ERRORS.md explains each; a test compares the two.
 */
export const ERROR_CODES = {
  bad_request: "bad_request",
  malformed_json: "bad_request",
  unauthorized: "unauthorized",
  token_missing: "unauthorized",
  token_expired: "unauthorized",
  host_not_allowed: "forbidden",
  origin_not_allowed: "forbidden",
  webhooks_closed: "forbidden",
  not_found: "not_found",
  session_not_found: "not_found",
  parent_session_not_found: "not_found",
  prompt_not_found: "not_found",
  message_not_found: "not_found",
  dead_letter_not_found: "not_found",
  method_not_allowed: "method_not_allowed",
  branch_taken: "conflict",
  session_started: "conflict",
  sandbox_not_writable: "conflict",
  status_not_writable: "conflict",
  prompt_not_waiting: "conflict",
  prompt_running: "conflict",
  message_uuid_taken: "conflict",
  dead_letter_closed: "conflict",
  nothing_to_retry: "conflict",
  idempotency_key_reused: "conflict",
  too_large: "too_large",
  unsupported_media_type: "unsupported_media_type",
  invalid: "invalid",
  invalid_cursor: "invalid",
  invalid_repo: "invalid",
  invalid_branch: "invalid",
  prompt_empty: "invalid",
  rate_limited: "too_many_requests",
  prompt_quota_reached: "too_many_requests",
  stream_limit_reached: "too_many_requests",
  database_unavailable: "unavailable",
  transaction_conflict: "unavailable",
  identity_provider_unavailable: "unavailable",
  not_ready: "unavailable",
  request_timeout: "unavailable",
  shutting_down: "unavailable",
  internal: "internal",
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** The one error type that may reach a client. Everything else that is thrown is a bug or a broken dependency: a fixed 500. */
export class AppError extends Error {
  override readonly name = "AppError";
  /** Seconds after which it is worth trying again; the reply's Retry-After. */
  readonly retryAfter: number | undefined;
  /** @param message a sentence for the person who sent the request: what was wrong and what to do. */
  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: ErrorOptions & { retryAfter?: number },
  ) {
    super(message, options);
    this.retryAfter = options?.retryAfter;
  }

  get kind(): ErrorKind {
    return ERROR_CODES[this.code];
  }
}

const NOT_FOUND = {
  session: "session_not_found",
  "parent session": "parent_session_not_found",
  prompt: "prompt_not_found",
  message: "message_not_found",
  "dead letter": "dead_letter_not_found",
} as const satisfies Record<string, ErrorCode>;

/** The reply for what does not exist, and for what belongs to somebody else: nobody can tell one from the other. */
export const notFound = (what: keyof typeof NOT_FOUND, id: string): AppError =>
  new AppError(NOT_FOUND[what], `The ${what} ${id} does not exist.`);

/** A mistake of the operator (configuration, environment): printed as its message alone, no stack. Exit code 1, or 2 for usage. */
export class OperatorError extends Error {
  override readonly name = "OperatorError";
  constructor(
    message: string,
    readonly exitCode: 1 | 2 = 1,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** The message of anything thrown, on one line, for logs and for `last_error` columns. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return text.replace(/\s+/g, " ").trim();
}
