import { errorReply } from "../api/error-reply.ts";
import { requestIdOf } from "../api/request-id.ts";
import type { Config } from "../config/config.ts";
import type { Logger } from "../observability/logger.ts";
import { AppError } from "../shared/errors.ts";
import { replyHeaders } from "./headers.ts";

/** Milliseconds until a reply must have begun; a stream has by then, and lasts as long as it likes. */
const TIMEOUT_MS = 30_000;
const RETRY_AFTER_S = 5;

export interface Fetches {
  fetch(request: Request): Response | Promise<Response>;
}

/**
 * Answers 503 for an app that does not answer in time, its body having come slowly included. What the app is doing is
 * not stopped: whoever tries again needs an Idempotency-Key, or looks first.
 */
export function withTimeLimit(options: {
  app: Fetches;
  config: Pick<Config, "auth" | "corsOrigins" | "trustedProxyHops">;
  logger: Logger;
  timeoutMs?: number;
}): Fetches {
  const { app, config, logger, timeoutMs = TIMEOUT_MS } = options;
  const headersOf = replyHeaders(config);

  return {
    fetch(request) {
      const reply = app.fetch(request);
      if (!(reply instanceof Promise)) return reply;
      const late = Promise.withResolvers<Response>();
      const timer = setTimeout(() => {
        logger.error("request took too long", {
          request_id: requestIdOf(request),
          method: request.method,
          path: new URL(request.url).pathname,
        });
        const error = new AppError(
          "request_timeout",
          `This took longer than ${timeoutMs / 1000} s and may or may not still happen; look, then try again.`,
        );
        late.resolve(
          errorReply(error, request, { ...headersOf(request), "retry-after": String(RETRY_AFTER_S) }),
        );
      }, timeoutMs);
      return Promise.race([reply, late.promise]).finally(() => clearTimeout(timer));
    },
  };
}
