/** What this package throws. An aborted request rejects with the reason of its signal instead, as `fetch` does. */
export class PromptBackendError extends Error {
  override readonly name: string = "PromptBackendError";
}

/** There was no complete reply: the connection failed or ended too early. `cause` is the error of `fetch`. */
export class ConnectionError extends PromptBackendError {
  override readonly name: string = "ConnectionError";
}

/** There was no complete reply in time. */
export class TimeoutError extends ConnectionError {
  override readonly name = "TimeoutError";
}

/** The server sent what this package cannot read: a stream that is none, or an event without an end. */
export class ProtocolError extends PromptBackendError {
  override readonly name = "ProtocolError";
}

export interface APIErrorDetails {
  status: number;
  headers: Headers;
  code: string | undefined;
  msg: string;
  requestId: string | undefined;
  retryAfter: number | undefined;
}

/** The server refused the request, or failed. */
export class APIError extends PromptBackendError {
  override readonly name: string = "APIError";
  /** The HTTP status. */
  readonly status: number;
  /** The headers of the reply. */
  readonly headers: Headers;
  /** The specific error, stable: use this in programs. Undefined where the reply is not from prompt-backend. */
  readonly code: string | undefined;
  /** What was wrong and what to do, for people to read. */
  readonly msg: string;
  /** Include it in a bug report. */
  readonly requestId: string | undefined;
  /** After how many seconds the server wants to be asked again. */
  readonly retryAfter: number | undefined;

  constructor({ status, headers, code, msg, requestId, retryAfter }: APIErrorDetails) {
    super(`${status}${code === undefined ? "" : ` ${code}`}: ${msg}`);
    this.status = status;
    this.headers = headers;
    this.code = code;
    this.msg = msg;
    this.requestId = requestId;
    this.retryAfter = retryAfter;
  }
}

/** 400: the request is malformed. */
export class BadRequestError extends APIError {
  override readonly name = "BadRequestError";
}

/** 401: the token is missing or invalid, also after a function was asked for a new one. */
export class AuthenticationError extends APIError {
  override readonly name = "AuthenticationError";
}

/** 403: the user may not do this. */
export class PermissionDeniedError extends APIError {
  override readonly name = "PermissionDeniedError";
}

/** 404: it does not exist, or belongs to somebody else. */
export class NotFoundError extends APIError {
  override readonly name = "NotFoundError";
}

/** 409: its state does not allow this. */
export class ConflictError extends APIError {
  override readonly name = "ConflictError";
}

/** 422: a field is missing or has a wrong value. */
export class UnprocessableEntityError extends APIError {
  override readonly name = "UnprocessableEntityError";
}

/** 429: too many requests, prompts or streams; `retryAfter` says for how long. */
export class RateLimitError extends APIError {
  override readonly name = "RateLimitError";
}

/** 5xx: the service, a dependency of it or a proxy failed. */
export class InternalServerError extends APIError {
  override readonly name = "InternalServerError";
}

const BY_STATUS: Readonly<Record<number, typeof APIError>> = {
  400: BadRequestError,
  401: AuthenticationError,
  403: PermissionDeniedError,
  404: NotFoundError,
  409: ConflictError,
  422: UnprocessableEntityError,
  429: RateLimitError,
};

const LONGEST_TEXT = 2_000;

/** The error that a reply stands for. @param body the text of the reply, whatever it is. */
export function errorOf({ status, headers }: Response, body: string): APIError {
  const { code, msg, request_id } = fieldsOf(body);
  const requestId = request_id ?? headers.get("x-request-id") ?? undefined;
  const Class = BY_STATUS[status] ?? (status >= 500 ? InternalServerError : APIError);
  return new Class({
    status,
    headers,
    code,
    msg: msg ?? foreignReply(headers),
    requestId,
    retryAfter: retryAfterOf(headers, Date.now()),
  });
}

/** A page of a proxy is not shown: it is long, and written for browsers. */
const foreignReply = (headers: Headers) =>
  `The reply (${headers.get("content-type") ?? "without a Content-Type"}) is not one of prompt-backend. A proxy before it may have failed, or baseUrl is wrong.`;

/** A reply that was successful, but is not JSON. */
export const unreadableReply = ({ status, headers }: Response) =>
  new APIError({
    status,
    headers,
    code: undefined,
    msg: foreignReply(headers),
    requestId: headers.get("x-request-id") ?? undefined,
    retryAfter: undefined,
  });

function fieldsOf(body: string): Partial<Record<"code" | "msg" | "request_id", string>> {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    return {};
  }
  if (typeof json !== "object" || json === null) return {};
  const fields = Object.entries(json).filter(([, value]) => typeof value === "string" && value !== "");
  return Object.fromEntries(fields.map(([name, value]) => [name, String(value).slice(0, LONGEST_TEXT)]));
}

/** Retry-After in seconds; undefined without one. */
function retryAfterOf(headers: Headers, now: number): number | undefined {
  const inMs = headers.get("retry-after-ms");
  if (inMs !== null && /^\d+(\.\d+)?$/.test(inMs)) return Number(inMs) / 1_000;
  const value = headers.get("retry-after");
  if (value === null) return undefined;
  if (/^\d+(\.\d+)?$/.test(value)) return Number(value);
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, (at - now) / 1_000);
}
