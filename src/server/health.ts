import { Elysia, t } from "elysia";
import { errorResponses, sharedModels } from "../api/schemas.ts";
import type { Guard } from "../auth/guard.ts";
import { type Readiness, requireReady } from "./readiness.ts";

export interface HealthDetail {
  version: string;
  agent: string;
  isolation: { isolated: boolean; detail: string };
  database: string;
  queue: string;
}

const healthModels = {
  HealthResponse: t.Object({ status: t.String({ examples: ["ok"] }) }),
  HealthDetailOutput: t.Object({
    version: t.String({ examples: ["0.1.0"] }),
    agent: t.String({ description: "claude, command or demo", examples: ["claude"] }),
    isolation: t.Object({
      isolated: t.Boolean(),
      detail: t.String({ examples: ["agents run under bubblewrap"] }),
    }),
    database: t.String({ description: "embedded or postgres", examples: ["postgres"] }),
    queue: t.String({ description: "embedded, postgres or redis", examples: ["redis"] }),
  }),
};

/** For load balancers, orchestrators and operators. Only /health/ready does I/O. */
export function healthRoutes(options: {
  detail: () => Promise<HealthDetail>;
  ready: Readiness;
  /** Of the details alone. */
  guard: Guard;
}) {
  const { detail, ready, guard } = options;
  // 403: on loopback, for a Host that is not a name of this machine.
  const errors = errorResponses(403);
  const operation = (operationId: string, summary: string) => ({
    operationId,
    summary,
    tags: ["Health"],
    security: [],
  });
  return new Elysia()
    .model({ ...sharedModels, ...healthModels })
    .get("/health", () => ({ status: "ok" }), {
      detail: operation("handlers_health_health", "Health check"),
      response: { 200: "HealthResponse", ...errors },
    })
    .get("/health/live", () => ({ status: "ok" }), {
      detail: operation("handlers_health_live", "Liveness probe"),
      response: { 200: "HealthResponse", ...errors },
    })
    .get(
      "/health/ready",
      async () => {
        await requireReady(ready);
        return { status: "ok" };
      },
      {
        detail: {
          ...operation("handlers_health_ready", "Readiness probe"),
          description:
            "503 names what is missing: the database, the queue, the identity provider's keys, a task, or the isolation of agents. A provider that is away is not missing while its keys are known.",
        },
        response: { 200: "HealthResponse", ...errors, ...errorResponses(503) },
      },
    )
    .use(guard)
    .get("/health/detail", () => detail(), {
      detail: {
        ...operation("handlers_health_detail", "Get build and isolation details"),
        description:
          "Needs a token, unless the service listens on loopback only and the request comes from this machine.",
        security: [{ Bearer: [] }, {}],
      },
      response: { 200: "HealthDetailOutput", ...errorResponses(401, 403, 500) },
    });
}
