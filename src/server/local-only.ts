import { Elysia } from "elysia";
import { type Config, isLoopback } from "../config/config.ts";
import { AppError } from "../shared/errors.ts";
import { createOriginCheck, withoutBrackets } from "./cors.ts";

const SAFE_METHODS = new Set(["GET", "HEAD", "OPTIONS"]);

/**
 * Protects a service on loopback from foreign web pages. By DNS rebinding, a page can point its own hostname at 127.0.0.1
 * and read replies as same-origin. The Host header then has that hostname, so only names of this machine, HOST and the
 * hosts of CORS_ORIGINS (which a proxy passes on) are served. Where no token is needed (AUTH_MODE=none), any page could
 * also send requests without reading the replies; those are refused by their Origin.
 */
export function localOnly(config: Pick<Config, "auth" | "corsOrigins" | "host">) {
  const { auth, corsOrigins, host } = config;
  const hosts = new Set(
    [host, ...corsOrigins.map((origin) => new URL(origin).hostname)].map(withoutBrackets),
  );
  const isAllowed = createOriginCheck(config);
  const plugin = new Elysia({ name: "local-only" });
  if (auth.mode === "oidc" || !isLoopback(host)) return plugin;

  return plugin.onRequest(({ request }) => {
    const name = hostOf(request);
    if (!isLoopback(name) && !hosts.has(name))
      throw new AppError(
        "host_not_allowed",
        "This service only answers to names of this machine, such as localhost; set HOST or CORS_ORIGINS to use another name.",
      );
    const origin = request.headers.get("origin");
    if (auth.mode === "none" && origin !== null && !SAFE_METHODS.has(request.method) && !isAllowed(origin))
      throw new AppError(
        "origin_not_allowed",
        `Pages of ${origin} are not allowed to change anything here; add that origin to CORS_ORIGINS to allow it.`,
      );
  });
}

function hostOf(request: Request): string {
  const header = request.headers.get("host");
  // Every browser sends a Host, so that this is no page's request.
  if (!header) return withoutBrackets(new URL(request.url).hostname);
  return withoutBrackets(header.replace(/:\d*$/, "").toLowerCase());
}
