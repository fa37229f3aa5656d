import { Elysia } from "elysia";
import type { Config } from "../config.ts";
import { originRule } from "./origins.ts";
import { requestIdOf } from "./request-id.ts";

const METHODS = "GET, POST, PUT, DELETE, OPTIONS";
const ALLOWED = "authorization, content-type, x-request-id";
const EXPOSED =
  "x-request-id, retry-after, ratelimit-limit, ratelimit-remaining, ratelimit-reset, ratelimit-policy";
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

/** What every reply carries: its request id, safety, and CORS for the configured origins, on errors too. */
export function headers(config: Pick<Config, "auth" | "corsOrigins" | "trustedProxyHops">) {
  const allowed = originRule(config);

  return new Elysia({ name: "headers" }).onRequest(({ request, set }) => {
    set.headers["x-request-id"] = requestIdOf(request);
    Object.assign(set.headers, SAFETY);
    set.headers["vary"] = "Origin";
    if (config.trustedProxyHops > 0 && request.headers.get("x-forwarded-proto") === "https")
      set.headers["strict-transport-security"] = HSTS;
    const origin = request.headers.get("origin");
    if (origin === null || !allowed(origin)) return undefined;
    // Requests carry credentials, so `*` would be refused by browsers.
    set.headers["access-control-allow-origin"] = origin;
    set.headers["access-control-allow-credentials"] = "true";
    set.headers["access-control-expose-headers"] = EXPOSED;
    if (request.method !== "OPTIONS" || !request.headers.has("access-control-request-method"))
      return undefined;
    set.headers["access-control-allow-methods"] = METHODS;
    set.headers["access-control-allow-headers"] = ALLOWED;
    set.headers["access-control-max-age"] = MAX_AGE_S;
    set.status = 204;
    return new Response(null, { status: 204, headers: set.headers as Record<string, string> });
  });
}
