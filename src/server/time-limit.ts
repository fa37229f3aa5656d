import { errorReply } from "../api/error-reply.ts";
import { requestIdOf } from "../api/request-id.ts";
import type { Config } from "../config/config.ts";
import type { Logger } from "../observability/logger.ts";
import { AppError } from "../shared/errors.ts";
import { TimeoutError, withTimeout } from "../shared/time.ts";
import { replyHeaders } from "./headers.ts";

/** Until the reply begins; a stream has begun by then, and may last. */
const REQUEST_TIMEOUT_MS = 30_000;

export interface FetchHandler {
  fetch(request: Request): Response | Promise<Response>;
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
    const path = new URL(request.url).pathname;
    logger.error("request timed out", { request_id, method: request.method, path });
    const error = new AppError(
      "request_timeout",
      `The request took longer than ${timeoutMs / 1000} s and may still take effect; check before you send it again.`,
    );
    return errorReply(error, request, headersOf(request));
  };

  return {
    fetch(request) {
      const reply = app.fetch(request);
      if (!(reply instanceof Promise)) return reply;
      return withTimeout(timeoutMs, reply, "no reply in time").catch((error: unknown) => {
        if (error instanceof TimeoutError) return timedOut(request);
        throw error;
      });
    },
  };
}
