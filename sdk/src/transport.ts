import {
  APIError,
  AuthenticationError,
  ConnectionError,
  errorOf,
  TimeoutError,
  unreadableReply,
} from "./errors.js";
import { after, type Backoff, backoffMs, sleep, untilAborted } from "./wait.js";

/** Why a token is asked for: `rejected` if the server has just refused the last one, undefined before each request. */
export type TokenReason = "rejected" | undefined;
export type TokenSource = (reason?: TokenReason) => string | Promise<string>;

export interface TransportOptions {
  token: string | TokenSource | undefined;
  csrfToken: (() => string | undefined) | undefined;
  fetch: typeof fetch;
  timeout: number;
  maxRetries: number;
  backoff: Backoff;
}

/**
 * Sends a request, and again where that may help. The body of the response is complete and in memory, except of event
 * streams. A request may always be repeated: creations carry an Idempotency-Key, and all else is idempotent.
 * @throws APIError for every other status than 2xx; ConnectionError; the reason of the request's signal.
 */
export type Send = (
  request: Request,
  options?: { timeout?: number | undefined; maxRetries?: number | undefined },
) => Promise<Response>;

/**
 * The generated methods send this token where an operation needs one; each attempt replaces it by the real one. So no
 * other operation asks for a token or reveals it.
 */
const PLACEHOLDER = "token";

/** For the generated client. A webhook's secret is another scheme, and none of ours. */
export const placeToken = ({ key }: { key?: string }): string | undefined =>
  key === "Bearer" ? PLACEHOLDER : undefined;

/** A longer Retry-After is not waited for: the caller learns it from the error. */
const LONGEST_RETRY_AFTER_S = 60;

export function createTransport(options: TransportOptions): Send {
  const { token, csrfToken, backoff } = options;

  const attempt = async (prepared: Prepared, reason: TokenReason, timeout: number): Promise<Response> => {
    const { url, method, headers, body, signal } = prepared;
    const ended = new AbortController();
    const abort = () => ended.abort(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    const late = () =>
      ended.abort(new TimeoutError(`${prepared.name}: no complete reply within ${timeout} ms.`));
    const stopTimer = after(timeout, late);
    const within = <T>(promise: Promise<T>) => untilAborted(promise, ended.signal);
    try {
      const sent = new Headers(headers);
      if (token !== undefined && headers.get("authorization") === `Bearer ${PLACEHOLDER}`)
        sent.set("authorization", `Bearer ${await within(readToken(token, reason))}`);
      const csrf = method === "GET" ? undefined : csrfToken?.();
      if (csrf !== undefined) sent.set("x-csrf-token", csrf);
      const init = { method, headers: sent, signal: ended.signal, ...(body !== "" && { body }) };
      try {
        const response = await within(options.fetch(url, init));
        if (response.ok && typeOf(response) === "text/event-stream") return response;
        // Of the two, the caller gets the one that nobody has read.
        const bytes = await within(response.clone().arrayBuffer());
        if (!response.ok) throw errorOf(response, new TextDecoder().decode(bytes));
        if (typeOf(response) === "text/html") throw unreadableReply(response);
        return response;
      } catch (error) {
        if (error instanceof APIError || ended.signal.aborted) throw error;
        throw new ConnectionError(`${prepared.name}: the connection failed.`, { cause: error });
      }
    } catch (error) {
      // `fetch` may fail by the abort in words of its own.
      throw ended.signal.aborted ? ended.signal.reason : error;
    } finally {
      stopTimer();
      signal.removeEventListener("abort", abort);
    }
  };

  return async (request, { timeout = options.timeout, maxRetries = options.maxRetries } = {}) => {
    const prepared = await prepare(request);
    const { signal } = prepared;
    let reason: TokenReason;
    let renewed = typeof token !== "function";
    let retries = 0;
    for (;;) {
      signal.throwIfAborted();
      try {
        return await attempt(prepared, reason, timeout);
      } catch (error) {
        if (signal.aborted) throw error;
        reason = undefined;
        if (error instanceof AuthenticationError && !renewed) {
          renewed = true;
          reason = "rejected";
          continue;
        }
        const delay = retryDelay(error, backoff, retries);
        if (delay === undefined || retries >= maxRetries) throw error;
        retries += 1;
        await sleep(delay, signal);
      }
    }
  };
}

interface Prepared {
  url: string;
  method: string;
  headers: Headers;
  body: string;
  signal: AbortSignal;
  /** For messages: without the query. */
  name: string;
}

/** Reads a request, whose body can be sent only once, so that it can be repeated. */
async function prepare(request: Request): Promise<Prepared> {
  const { url, method, signal } = request;
  const headers = new Headers(request.headers);
  if (method === "POST" && !headers.has("idempotency-key")) headers.set("idempotency-key", newKey());
  return { url, method, headers, body: await request.text(), signal, name: `${method} ${url.split("?")[0]}` };
}

/** `crypto.randomUUID` exists only on pages with HTTPS. */
const newKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );

async function readToken(token: string | TokenSource, reason: TokenReason): Promise<string> {
  const value = (typeof token === "string" ? token : await token(reason)).trim();
  // The error of `Headers` would show the token.
  if (!/^[\x21-\x7e]+$/.test(value))
    throw new TypeError(
      "token: must be one line of printable ASCII characters without blanks, and not empty.",
    );
  return value;
}

const typeOf = ({ headers }: Response) => headers.get("content-type")?.split(";")[0]?.trim().toLowerCase();

/** Whether the same request may succeed later. */
export const isRetryable = (error: unknown): error is ConnectionError | APIError =>
  error instanceof ConnectionError ||
  (error instanceof APIError && (error.status === 408 || error.status === 429 || error.status >= 500));

/** In milliseconds; undefined if a retry would not help, or only after too long. */
function retryDelay(error: unknown, backoff: Backoff, retries: number): number | undefined {
  if (!isRetryable(error)) return undefined;
  const wanted = error instanceof APIError ? error.retryAfter : undefined;
  if (wanted === undefined) return backoffMs(backoff, retries);
  return wanted > LONGEST_RETRY_AFTER_S ? undefined : wanted * 1_000;
}
