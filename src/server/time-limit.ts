import { errorReply } from "../api/error-reply.ts";
import { requestIdOf } from "../api/request-id.ts";
import type { Config } from "../config/config.ts";
import type { Logger } from "../observability/logger.ts";
import { AppError } from "../shared/errors.ts";
import { pathOf } from "../shared/request-url.ts";
import { replyHeaders } from "./headers.ts";

/** Until the reply begins; a stream has begun by then, and may last. */
const REQUEST_TIMEOUT_MS = 30_000;

export interface FetchHandler {
  fetch(request: Request): Response | Promise<Response>;
}

/** A request without a reply. */
interface Open {
  request: Request;
  /** By `performance.now()`. */
  until: number;
  resolve: (reply: Response) => void;
}

/**
 * Answers 503 when the app does not answer in time, also because the body arrives too slowly. The work is not cancelled:
 * a client that retries needs an Idempotency-Key, or checks first.
 */
export function withTimeLimit(options: {
  app: FetchHandler;
  config: Pick<Config, "auth" | "corsOrigins" | "trustedProxyHops">;
  logger: Logger;
  timeoutMs?: number;
}): FetchHandler {
  const { app, config, logger, timeoutMs = REQUEST_TIMEOUT_MS } = options;
  const headersOf = replyHeaders(config);
  const timedOut = (request: Request): Response => {
    const request_id = requestIdOf(request);
    logger.error("request timed out", { request_id, method: request.method, path: pathOf(request.url) });
    const error = new AppError(
      "request_timeout",
      `The request took longer than ${timeoutMs / 1000} s and may still take effect; check before you send it again.`,
    );
    return errorReply(error, request, headersOf(request));
  };

  // All have the same time, so that the first of them is the first to run out of it: one timer is enough.
  const open = new Set<Open>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const watch = (ms: number) => {
    timer = setTimeout(() => {
      timer = undefined;
      for (const one of open) {
        const left = one.until - performance.now();
        if (left > 0) return watch(left);
        open.delete(one);
        one.resolve(timedOut(one.request));
      }
    }, ms);
    // Requests keep the process alive, not this.
    timer.unref();
  };

  return {
    fetch(request) {
      const reply = app.fetch(request);
      if (!(reply instanceof Promise)) return reply;
      return new Promise((resolve, reject) => {
        const one = { request, until: performance.now() + timeoutMs, resolve };
        open.add(one);
        if (!timer) watch(timeoutMs);
        reply.then(
          (made) => {
            open.delete(one);
            resolve(made);
          },
          (error: unknown) => {
            open.delete(one);
            reject(error);
          },
        );
      });
    },
  };
}
