import { Elysia } from "elysia";
import type { Metrics } from "../observability/metrics.ts";
import { AppError } from "../shared/errors.ts";
import type { Secret } from "../shared/secret.ts";

/** Scrapes are not part of the service's load. */
const NOT_MEASURED = new Set(["/metrics"]);

/** Measures every request by its route's pattern, and serves the metrics at /metrics, which is not part of the API. */
export function metricsRoutes(options: { metrics: Metrics; token: Secret | undefined }) {
  const { metrics, token } = options;
  const started = new WeakMap<Request, number>();
  return new Elysia({ name: "metrics" })
    .onRequest(({ request }) => void started.set(request, performance.now()))
    .onAfterResponse({ as: "global" }, ({ request, route, set, response }) => {
      const start = started.get(request);
      if (start === undefined || NOT_MEASURED.has(route)) return;
      const status = response instanceof Response ? response.status : Number(set.status ?? 200);
      // One label for all unknown addresses, or anybody could create labels without limit.
      metrics.request(
        { method: request.method, route: route || "none", status },
        (performance.now() - start) / 1000,
      );
    })
    .get(
      "/metrics",
      ({ request }) => {
        requireToken(request, token);
        return reply(metrics);
      },
      { detail: { hide: true } },
    );
}

/** The same metrics for processes without an API, on a port of their own; with /health for their orchestrator. */
export function metricsApp(options: { metrics: Metrics; token: Secret | undefined }) {
  const { metrics, token } = options;
  return {
    async fetch(request: Request): Promise<Response> {
      const { pathname } = new URL(request.url);
      if (pathname === "/health") return Response.json({ status: "ok" });
      if (pathname !== "/metrics")
        return new Response("Not found; there are /metrics and /health.\n", { status: 404 });
      try {
        requireToken(request, token);
      } catch {
        return new Response("METRICS_TOKEN is required.\n", { status: 401 });
      }
      return reply(metrics);
    },
  };
}

const reply = async (metrics: Metrics) =>
  new Response(await metrics.text(), { headers: { "content-type": metrics.contentType } });

function requireToken(request: Request, token: Secret | undefined): void {
  if (token === undefined) return;
  const given = /^bearer +(\S+)$/i.exec(request.headers.get("authorization") ?? "")?.[1] ?? "";
  if (!token.equals(given))
    throw new AppError("unauthorized", "The metrics require METRICS_TOKEN as a bearer token.");
}
