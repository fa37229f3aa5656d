import { Elysia } from "elysia";
import { type Config, isLoopback } from "../config.ts";
import { requestIdOf } from "./request-id.ts";

const METHODS = "GET, POST, PUT, DELETE, OPTIONS";
const ALLOWED = "authorization, content-type, x-request-id";
const EXPOSED = "x-request-id";
/** Seconds that a browser may remember a preflight's answer. */
const MAX_AGE_S = "86400";

/** What every reply carries: its request id, safety, and CORS for the configured origins, on errors too. */
export function headers(config: Pick<Config, "auth" | "corsOrigins">) {
  const allowed = (origin: string) => {
    if (config.corsOrigins.includes(origin)) return true;
    const url = config.auth.mode === "oidc" ? null : URL.parse(origin);
    return url !== null && isLoopback(url.hostname.replace(/^\[|\]$/g, ""));
  };

  return new Elysia({ name: "headers" }).onRequest(({ request, set }) => {
    set.headers["x-request-id"] = requestIdOf(request);
    set.headers["x-content-type-options"] = "nosniff";
    set.headers["vary"] = "Origin";
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
