import { Elysia } from "elysia";
import { requestIdOf } from "../api/request-id.ts";
import type { Config } from "../config/config.ts";
import { originRule } from "./origins.ts";

const METHODS = "GET, POST, PUT, DELETE, OPTIONS";
const ALLOWED = "authorization, content-type, idempotency-key, if-none-match, last-event-id, x-request-id";
const EXPOSED =
  "etag, idempotency-replayed, x-request-id, retry-after, ratelimit-limit, ratelimit-remaining, ratelimit-reset, ratelimit-policy";
/** Seconds that a browser may remember a preflight's answer. */
const MAX_AGE_S = "86400";

/**
 * What browsers are told about every reply; a page that needs more says so in its own headers, which win. JSON is no
 * document, so it may load nothing and stand in no frame. Other origins read the API by CORS, which
 * Cross-Origin-Resource-Policy leaves alone; it keeps replies out of their images and scripts.
 */
const SAFETY = {
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "x-frame-options": "DENY",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
};
/** A year; only said where a trusted proxy has spoken https with the client, or it would lock out plain http. */
const HSTS = "max-age=31536000";

/** What every reply carries: its request id, safety, and CORS for the configured origins. */
export function replyHeaders(config: Pick<Config, "auth" | "corsOrigins" | "trustedProxyHops">) {
  const allowed = originRule(config);
  return (request: Request): Record<string, string> => {
    const origin = request.headers.get("origin");
    return {
      "x-request-id": requestIdOf(request),
      ...SAFETY,
      vary: "Origin",
      ...(config.trustedProxyHops > 0 &&
        request.headers.get("x-forwarded-proto") === "https" && { "strict-transport-security": HSTS }),
      ...(origin !== null &&
        allowed(origin) && {
          // Requests carry credentials, so `*` would be refused by browsers.
          "access-control-allow-origin": origin,
          "access-control-allow-credentials": "true",
          "access-control-expose-headers": EXPOSED,
        }),
    };
  };
}

/** Puts them on all replies, errors too, and answers browsers that ask before they send. */
export function headers(config: Pick<Config, "auth" | "corsOrigins" | "trustedProxyHops">) {
  const headersOf = replyHeaders(config);
  return new Elysia({ name: "headers" }).onRequest(({ request, set }) => {
    Object.assign(set.headers, headersOf(request));
    if (
      request.method !== "OPTIONS" ||
      !request.headers.has("access-control-request-method") ||
      set.headers["access-control-allow-origin"] === undefined
    )
      return undefined;
    set.headers["access-control-allow-methods"] = METHODS;
    set.headers["access-control-allow-headers"] = ALLOWED;
    set.headers["access-control-max-age"] = MAX_AGE_S;
    set.status = 204;
    return new Response(null, { status: 204, headers: set.headers as Record<string, string> });
  });
}
