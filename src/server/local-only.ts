import { Elysia } from "elysia";
import { type Config, isLoopback } from "../config/config.ts";
import { AppError } from "../shared/errors.ts";
import { bare, originRule } from "./origins.ts";

const HARMLESS = new Set(["GET", "HEAD", "OPTIONS"]);

/**
 * Keeps web pages of strangers away from a service on loopback. A page may point its own name at 127.0.0.1 (DNS
 * rebinding) and then reads replies as its own: its name is in the Host header, so only names of this machine, HOST
 * and the hosts of CORS_ORIGINS (a proxy passes those on) are served. Where no token is needed (AUTH_MODE=none), any
 * page could also send what it cannot read: its Origin says so.
 */
export function localOnly(config: Pick<Config, "auth" | "corsOrigins" | "host">) {
  const { auth, corsOrigins, host } = config;
  const hosts = new Set([host, ...corsOrigins.map((origin) => new URL(origin).hostname)].map(bare));
  const allowed = originRule(config);
  const plugin = new Elysia({ name: "local-only" });
  if (auth.mode === "oidc" || !isLoopback(host)) return plugin;

  return plugin.onRequest(({ request }) => {
    const name = hostOf(request);
    if (!isLoopback(name) && !hosts.has(name))
      throw new AppError(
        "host_not_allowed",
        "This service answers only to names of this machine, such as localhost; set HOST or CORS_ORIGINS to use another name.",
      );
    const origin = request.headers.get("origin");
    if (auth.mode === "none" && origin !== null && !HARMLESS.has(request.method) && !allowed(origin))
      throw new AppError(
        "origin_not_allowed",
        `Pages of ${origin} may change nothing here; add that origin to CORS_ORIGINS to let them.`,
      );
  });
}

function hostOf(request: Request): string {
  const header = request.headers.get("host");
  if (header === null) return bare(new URL(request.url).hostname);
  return bare(header.replace(/:\d*$/, "").toLowerCase());
}
