import { Elysia } from "elysia";
import { isDatabaseUnavailable } from "../db/client.ts";
import type { Logger } from "../observability/logger.ts";
import { AppError, type ErrorKind } from "../shared/errors.ts";
import { requestIdOf } from "./request-id.ts";

/** The one table of kinds and statuses. */
const STATUS: Readonly<Record<ErrorKind, number>> = {
  bad_request: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  too_large: 413,
  unsupported_media_type: 415,
  invalid: 422,
  too_many_requests: 429,
  internal: 500,
  unavailable: 503,
};

/** Seconds. What is away comes back, or somebody is told by their monitoring. */
const AWAY_RETRY_S = 2;
const AWAY =
  "The database cannot be reached just now. What you sent may or may not be stored: look, or send it again with the same Idempotency-Key.";
const INTERNAL = "Something went wrong inside the service. Its log has the details under this request_id.";

/** Turns whatever was thrown into one shape. Registered before every controller, or it would not see their errors. */
export function errorHandler(options: { logger: Logger; methodsOf: (path: string) => string[] }) {
  const { logger, methodsOf } = options;
  return new Elysia({ name: "errors" }).onError({ as: "global" }, ({ error, code, request, set, path }) => {
    const known = toAppError(error, code);
    const request_id = requestIdOf(request);
    let answer = known ?? new AppError("internal", INTERNAL);
    if (code === "NOT_FOUND" && !(error instanceof AppError)) {
      const methods = methodsOf(path);
      if (methods.length > 0) {
        set.headers["allow"] = methods.join(", ");
        answer = new AppError(
          "method_not_allowed",
          `${request.method} is not offered here; there is ${methods.join(", ")}.`,
        );
      }
    }
    // Which one, and where, is for the log alone.
    const away = !known && isDatabaseUnavailable(error);
    if (away) answer = new AppError("database_unavailable", AWAY, { retryAfter: AWAY_RETRY_S });
    if (answer.code === "internal" || away)
      logger.error("request failed", { request_id, method: request.method, path, error });
    set.status = STATUS[answer.kind];
    if (answer.retryAfter !== undefined) set.headers["retry-after"] = String(answer.retryAfter);
    return bodyOf(answer, request_id);
  });
}

const bodyOf = ({ kind, code, message }: AppError, request_id: string) => ({
  err: kind,
  msg: code === "internal" ? INTERNAL : message,
  code,
  request_id,
});

/** The same for what is refused outside the routes. */
export const errorReply = (error: AppError, request: Request, headers: Record<string, string>) =>
  Response.json(bodyOf(error, requestIdOf(request)), { status: STATUS[error.kind], headers });

/** Undefined: not the sender's fault, and nothing of it may be shown. */
function toAppError(error: unknown, code: unknown): AppError | undefined {
  if (error instanceof AppError) return error;
  if (code === "NOT_FOUND") return new AppError("not_found", "There is nothing at this address.");
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
  /** "response" is our own mistake. */
  type: string;
  all?: { path?: string; message?: string; summary?: string }[];
}

function validationError({ type, all }: Validation): AppError | undefined {
  if (type === "response") return undefined;
  const problems = (all ?? [])
    .slice(0, 3)
    .map(
      ({ path, message }) => `${path ? path.slice(1).replaceAll("/", ".") : type}: ${message ?? "is wrong"}`,
    );
  return new AppError("invalid", problems.join("; ") || `The ${type} is not of the right shape.`);
}
