import { Elysia } from "elysia";
import { requestIdOf } from "../api/request-id.ts";
import type { Config } from "../config/config.ts";
import { corsHeaders, createOriginCheck, isPreflight, PREFLIGHT_HEADERS } from "./cors.ts";

/**
 * Security headers of every reply; HTML pages override them with their own. JSON is not a document, so it may load nothing
 * and be framed by nobody. Cross-Origin-Resource-Policy does not affect CORS requests; it keeps other origins from
 * embedding replies as images or scripts.
 */
const SECURITY_HEADERS = {
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "x-frame-options": "DENY",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
};
/** One year. Only sent where a trusted proxy received the request over https: plain http would become unusable. */
const HSTS = "max-age=31536000";

/** The headers of every reply: request id, security, and CORS for allowed origins. */
export function replyHeaders(config: Pick<Config, "auth" | "corsOrigins" | "trustedProxyHops">) {
  const isAllowed = createOriginCheck(config);
  return (request: Request): Record<string, string> => {
    const origin = request.headers.get("origin");
    return {
      "x-request-id": requestIdOf(request),
      ...SECURITY_HEADERS,
      vary: "Origin, Accept-Encoding",
      ...(config.trustedProxyHops > 0 &&
        request.headers.get("x-forwarded-proto") === "https" && { "strict-transport-security": HSTS }),
      ...(origin !== null && isAllowed(origin) && corsHeaders(origin)),
    };
  };
}

/**
 * Sets these headers on all replies, errors included, and answers CORS preflights.
 *
 * Not @elysiajs/cors. Tried in version 1.4.2, with a function as `origin`: it sends Access-Control-Allow-Credentials,
 * -Allow-Headers, -Expose-Headers and -Allow-Methods to every origin and to requests without one; with `preflight` it
 * answers every OPTIONS with 204, also of other origins and at unknown addresses, and registers OPTIONS routes, which 405
 * replies would then list; and it cannot give its headers to a reply made outside of the app, as a request timeout's 503.
 */
export function headers(config: Pick<Config, "auth" | "corsOrigins" | "trustedProxyHops">) {
  const headersOf = replyHeaders(config);
  return new Elysia({ name: "headers" }).onRequest(({ request, set }) => {
    const all = headersOf(request);
    Object.assign(set.headers, all);
    if (!isPreflight(request) || !("access-control-allow-origin" in all)) return undefined;
    return new Response(null, { status: 204, headers: { ...all, ...PREFLIGHT_HEADERS } });
  });
}
