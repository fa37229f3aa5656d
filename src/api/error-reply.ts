import type { TSchema } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { isDatabaseUnavailable, isTransactionConflict } from "../db/client.ts";
import type { Logger } from "../observability/logger.ts";
import { AppError, type ErrorKind } from "../shared/errors.ts";
import { choiceOf, fieldName } from "./known-fields.ts";
import { requestIdOf } from "./request-id.ts";

/** The HTTP status of each kind of error. */
const STATUS: Readonly<Record<ErrorKind, number>> = {
  bad_request: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  precondition_failed: 412,
  too_large: 413,
  unsupported_media_type: 415,
  invalid: 422,
  too_many_requests: 429,
  internal: 500,
  unavailable: 503,
};

const INTERNAL = "Internal error. The service's log has the details under this request_id.";

/**
 * Turns whatever was thrown into an ErrorDto. Register it before every controller, or it does not see their errors.
 * @param options.methodsOf the methods that some route offers at a path.
 */
export function errorHandler(options: { logger: Logger; methodsOf: (path: string) => readonly string[] }) {
  const { logger, methodsOf } = options;
  return new Elysia({ name: "errors" }).onError({ as: "global" }, ({ error, code, request, set, path }) => {
    const request_id = requestIdOf(request);
    const methods = code === "NOT_FOUND" && !(error instanceof AppError) ? methodsOf(path) : [];
    if (methods.length > 0) set.headers["allow"] = methods.join(", ");
    const known = methods.length > 0 ? methodNotAllowed(request, methods) : toAppError(error, code);
    const answer = known ?? databaseError(error) ?? new AppError("internal", INTERNAL);
    // The message of an unexpected error is for the log alone.
    if (!known || answer.code === "internal")
      logger.error("request failed", { request_id, method: request.method, path, error });
    set.status = STATUS[answer.kind];
    if (answer.retryAfter !== undefined) set.headers["retry-after"] = String(answer.retryAfter);
    // RFC 9110, 12.5.3: it tells this apart from a media type that is not supported.
    if (answer.code === "unsupported_content_encoding") set.headers["accept-encoding"] = "identity";
    return bodyOf(answer, request_id);
  });
}

/** The same reply for what is refused outside of the routes. */
export const errorReply = (error: AppError, request: Request, headers: Record<string, string>) =>
  Response.json(bodyOf(error, requestIdOf(request)), {
    status: STATUS[error.kind],
    headers: {
      ...headers,
      ...(error.retryAfter !== undefined && { "retry-after": String(error.retryAfter) }),
    },
  });

const bodyOf = ({ kind, code, message }: AppError, request_id: string) => ({
  err: kind,
  msg: code === "internal" ? INTERNAL : message,
  code,
  request_id,
});

const methodNotAllowed = ({ method }: Request, allowed: readonly string[]) =>
  new AppError("method_not_allowed", `${method} is not allowed here; use ${allowed.join(", ")}.`);

function databaseError(error: unknown): AppError | undefined {
  if (isTransactionConflict(error))
    return new AppError(
      "transaction_conflict",
      "Another request changed the same rows; nothing was stored. Send it again.",
      { retryAfter: 1 },
    );
  if (isDatabaseUnavailable(error))
    return new AppError(
      "database_unavailable",
      "The database cannot be reached. Your request may or may not have been stored: check, or send it again with the same Idempotency-Key.",
      { retryAfter: 2 },
    );
  return undefined;
}

/** Undefined: not the client's fault, and none of it may be shown. */
function toAppError(error: unknown, code: unknown): AppError | undefined {
  if (error instanceof AppError) return error;
  if (code === "NOT_FOUND") return new AppError("not_found", "There is no such address.");
  if (code === "PARSE") {
    const { cause } = error as { cause?: unknown };
    return cause instanceof AppError ? cause : new AppError("malformed_json", "The body is not valid JSON.");
  }
  if (code === "INVALID_COOKIE_SIGNATURE" || code === "INVALID_FILE_TYPE")
    return new AppError("bad_request", "The request is malformed.");
  if (code === "VALIDATION") return validationError(error as Validation);
  return undefined;
}

interface Validation {
  /** What was validated: "body", "query", …; "response" is our own mistake. */
  type: string;
  all?: { path?: string; message?: string; schema?: TSchema }[];
}

function validationError({ type, all }: Validation): AppError | undefined {
  if (type === "response") return undefined;
  const problems = (all ?? []).slice(0, 3).map(({ path, message = "is not valid", schema }) => {
    return `${fieldName(path ?? "") || type}: ${(schema && choiceOf(schema)) ?? message}`;
  });
  return new AppError("invalid", problems.join("; ") || `The ${type} does not match its schema.`);
}
