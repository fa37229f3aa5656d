import { type Config, isLoopback } from "../config/config.ts";

const METHODS = "GET, POST, PUT, DELETE, OPTIONS";
const ALLOWED =
  "authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id, x-request-id";
const EXPOSED =
  "etag, idempotency-replayed, x-request-id, retry-after, ratelimit-limit, ratelimit-remaining, ratelimit-reset, ratelimit-policy";
/** How long, in seconds, browsers may cache the reply to a preflight. */
const MAX_AGE_S = "86400";

/** Whether pages of an origin may use the API: the configured origins and, unless OIDC is used, those on loopback. */
export function createOriginCheck({ auth, corsOrigins }: Pick<Config, "auth" | "corsOrigins">) {
  return (origin: string): boolean => {
    if (corsOrigins.includes(origin)) return true;
    const url = auth.mode === "oidc" ? null : URL.parse(origin);
    return url !== null && isLoopback(withoutBrackets(url.hostname));
  };
}

/** The CORS headers of a reply, errors included; none for an origin that is not allowed. */
export const corsHeaders = (origin: string): Record<string, string> => ({
  // Requests carry credentials, for which browsers refuse `*`.
  "access-control-allow-origin": origin,
  "access-control-allow-credentials": "true",
  "access-control-expose-headers": EXPOSED,
});

export const PREFLIGHT_HEADERS = {
  "access-control-allow-methods": METHODS,
  "access-control-allow-headers": ALLOWED,
  "access-control-max-age": MAX_AGE_S,
};

export const isPreflight = (request: Request): boolean =>
  request.method === "OPTIONS" && request.headers.has("access-control-request-method");

/** IPv6 addresses have brackets in URLs and Host headers. */
export const withoutBrackets = (hostname: string): string => hostname.replace(/^\[|\]$/g, "");
