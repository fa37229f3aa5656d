/**
 * The one error type that may reach a client. Its code is stable and part of the API; `http/errors.ts` maps
 * it to a status. Everything else that is thrown is a bug or a broken dependency and answers a fixed 500.
 */
export type ErrorCode =
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
}

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
