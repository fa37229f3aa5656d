/**
 * The kinds of errors, sent as `err`. Published clients know these words, and each has one HTTP status (api/error-reply.ts).
 */
export type ErrorKind =
  | "bad_request"
  | "unauthorized"
  | "forbidden"
  | "not_found"
  | "method_not_allowed"
  | "conflict"
  | "precondition_failed"
  | "too_large"
  | "unsupported_media_type"
  | "invalid"
  | "too_many_requests"
  | "unavailable"
  | "internal";

/**
 * Every code that a reply can have, and its kind. Codes are stable and part of the API. There is a specific one where a
 * client would act differently, else the kind is the code. docs/ERRORS.md explains each; a test compares the two.
 */
export const ERROR_CODES = {
  bad_request: "bad_request",
  malformed_json: "bad_request",
  unauthorized: "unauthorized",
  token_missing: "unauthorized",
  token_expired: "unauthorized",
  ticket_invalid: "unauthorized",
  session_expired: "unauthorized",
  sign_in_code_invalid: "unauthorized",
  host_not_allowed: "forbidden",
  origin_not_allowed: "forbidden",
  csrf_token_invalid: "forbidden",
  sign_in_closed: "forbidden",
  webhooks_closed: "forbidden",
  merging_closed: "forbidden",
  admin_required: "forbidden",
  not_found: "not_found",
  session_not_found: "not_found",
  parent_session_not_found: "not_found",
  prompt_not_found: "not_found",
  message_not_found: "not_found",
  dead_letter_not_found: "not_found",
  commit_not_found: "not_found",
  file_not_found: "not_found",
  attachment_not_found: "not_found",
  provenance_not_found: "not_found",
  provenance_key_not_found: "not_found",
  comment_not_found: "not_found",
  permission_not_found: "not_found",
  pull_request_not_found: "not_found",
  project_not_found: "not_found",
  method_not_allowed: "method_not_allowed",
  branch_taken: "conflict",
  project_exists: "conflict",
  session_started: "conflict",
  sandbox_not_writable: "conflict",
  status_not_writable: "conflict",
  prompt_not_waiting: "conflict",
  prompt_running: "conflict",
  prompt_unfinished: "conflict",
  commit_unknown: "conflict",
  repository_unreadable: "conflict",
  message_uuid_taken: "conflict",
  dead_letter_closed: "conflict",
  nothing_to_retry: "conflict",
  budget_not_awaited: "conflict",
  agent_unavailable: "conflict",
  comment_sent: "conflict",
  comment_limit_reached: "conflict",
  no_open_comments: "conflict",
  permission_closed: "conflict",
  steer_limit_reached: "conflict",
  branch_not_pushed: "conflict",
  forge_unknown: "conflict",
  forge_refused: "conflict",
  pull_request_not_mergeable: "conflict",
  idempotency_key_reused: "conflict",
  precondition_failed: "precondition_failed",
  too_large: "too_large",
  attachment_too_large: "too_large",
  unsupported_media_type: "unsupported_media_type",
  unsupported_content_encoding: "unsupported_media_type",
  invalid: "invalid",
  unknown_field: "invalid",
  invalid_cursor: "invalid",
  invalid_repo: "invalid",
  invalid_branch: "invalid",
  prompt_empty: "invalid",
  attachment_invalid: "invalid",
  model_unavailable: "invalid",
  mode_unavailable: "invalid",
  max_turns_unavailable: "invalid",
  budget_too_high: "invalid",
  budget_too_low: "invalid",
  rate_limited: "too_many_requests",
  prompt_quota_reached: "too_many_requests",
  stream_limit_reached: "too_many_requests",
  database_unavailable: "unavailable",
  transaction_conflict: "unavailable",
  identity_provider_unavailable: "unavailable",
  not_ready: "unavailable",
  request_timeout: "unavailable",
  repository_unavailable: "unavailable",
  shutting_down: "unavailable",
  internal: "internal",
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** Retry-After, in seconds, of whatever is unavailable, unless it is known better. */
const UNAVAILABLE_RETRY_S = 5;

/** The only error whose message reaches a client. Anything else is a bug or a broken dependency, and a 500 without details. */
export class AppError extends Error {
  override readonly name = "AppError";
  /** The reply's Retry-After, in seconds. */
  readonly retryAfter: number | undefined;
  /** @param message a sentence for the sender of the request: what was wrong and what to do. */
  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: ErrorOptions & { retryAfter?: number },
  ) {
    super(message, options);
    this.retryAfter = options?.retryAfter ?? (this.kind === "unavailable" ? UNAVAILABLE_RETRY_S : undefined);
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
  comment: "comment_not_found",
  attachment: "attachment_not_found",
  permission: "permission_not_found",
  project: "project_not_found",
} as const satisfies Record<string, ErrorCode>;

/** What belongs to another user gets the same reply as what does not exist, so that ids reveal nothing. */
export const notFound = (what: keyof typeof NOT_FOUND, id: string): AppError =>
  new AppError(NOT_FOUND[what], `The ${what} ${id} does not exist.`);

/** A mistake of the operator (configuration, environment), printed without a stack. Exit code 1, or 2 for wrong usage. */
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
