import { createHash, timingSafeEqual } from "node:crypto";
import { Elysia } from "elysia";
import type { Metrics } from "../observability/metrics.ts";
import { AppError } from "../shared/errors.ts";
import type { Secret } from "../shared/secret.ts";

/** Live streams have no end to measure, and scrapes are not the service's work. */
const NOT_MEASURED = new Set(["/metrics"]);

/** Times every request by its route's pattern, and shows the figures at /metrics, which is not part of the API. */
export function metricsRoutes(options: { metrics: Metrics; token: Secret | undefined }) {
  const { metrics, token } = options;
  const began = new WeakMap<Request, number>();
  return new Elysia({ name: "metrics" })
    .onRequest(({ request }) => void began.set(request, performance.now()))
    .onAfterResponse({ as: "global" }, ({ request, route, set, response }) => {
      const start = began.get(request);
      if (start === undefined || NOT_MEASURED.has(route)) return;
      const status = response instanceof Response ? response.status : Number(set.status ?? 200);
      // What no route answers is one label, whatever was asked for.
      const labels = {
        method: request.method,
        route: status === 404 && !route ? "none" : route || "none",
        status,
      };
      metrics.request(labels, (performance.now() - start) / 1000);
    })
    .get(
      "/metrics",
      async ({ request }) => {
        requireToken(request, token);
        return new Response(await metrics.text(), { headers: { "content-type": metrics.contentType } });
      },
      { detail: { hide: true } },
    );
}

/** The same figures on a port of their own, for processes without a server; with /health for whoever watches them. */
export function metricsApp(options: { metrics: Metrics; token: Secret | undefined }) {
  const { metrics, token } = options;
  return {
    async fetch(request: Request): Promise<Response> {
      const { pathname } = new URL(request.url);
      if (pathname === "/health") return Response.json({ status: "ok" });
      if (pathname !== "/metrics")
        return new Response("There are /metrics and /health here.\n", { status: 404 });
      try {
        requireToken(request, token);
      } catch {
        return new Response("METRICS_TOKEN is required.\n", { status: 401 });
      }
      return new Response(await metrics.text(), { headers: { "content-type": metrics.contentType } });
    },
  };
}

function requireToken(request: Request, token: Secret | undefined): void {
  if (token === undefined) return;
  const given = /^bearer +(\S+)$/i.exec(request.headers.get("authorization") ?? "")?.[1] ?? "";
  const [a, b] = [given, token.reveal()].map((text) => createHash("sha256").update(text).digest()) as [
    Buffer,
    Buffer,
  ];
  if (!timingSafeEqual(a, b))
    throw new AppError("unauthorized", "The metrics need METRICS_TOKEN as a bearer token.");
}
