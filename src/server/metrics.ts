import { Elysia } from "elysia";
import type { Metrics } from "../observability/metrics.ts";
import { AppError } from "../shared/errors.ts";
import type { Secret } from "../shared/secret.ts";
import type { FetchHandler } from "./time-limit.ts";

/** Scrapes are not part of the service's load. */
const NOT_MEASURED = new Set(["/metrics"]);

/** The patterns of requests' routes; none for unknown addresses. */
const routes = new WeakMap<Request, string>();

/** Serves the metrics at /metrics, which is not part of the API, and remembers each request's route for `withMetrics`. */
export function metricsRoutes(options: { metrics: Metrics; token: Secret | undefined }) {
  const { metrics, token } = options;
  const remember = ({ request, route }: { request: Request; route: string }) => {
    if (route) routes.set(request, route);
  };
  return new Elysia({ name: "metrics" })
    .onTransform({ as: "global" }, remember)
    .onError({ as: "global" }, remember)
    .get(
      "/metrics",
      ({ request }) => {
        requireToken(request, token);
        return reply(metrics);
      },
      { detail: { hide: true } },
    );
}

/** Measures every request by its route's pattern. Not in the app: its hook after a reply takes a turn of the event loop. */
export function withMetrics(app: FetchHandler, metrics: Pick<Metrics, "request">): FetchHandler {
  return {
    fetch(request) {
      const start = performance.now();
      const measured = (reply: Response) => {
        // One label for all unknown addresses, or anybody could create labels without limit.
        const route = routes.get(request) ?? "none";
        const { method } = request;
        if (!NOT_MEASURED.has(route))
          metrics.request({ method, route, status: reply.status }, (performance.now() - start) / 1000);
        return reply;
      };
      const reply = app.fetch(request);
      return reply instanceof Promise ? reply.then(measured) : measured(reply);
    },
  };
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
