import { Elysia, t } from "elysia";

export interface HealthDetail {
  version: string;
  agent: string;
  isolation: { isolated: boolean; detail: string };
  database: string;
  queue: string;
}

/** For load balancers (no I/O), and for people who ask what is running here. */
export function healthRoutes(detail: () => HealthDetail) {
  return new Elysia()
    .model({
      HealthOutput: t.Object({ status: t.String({ examples: ["ok"] }) }),
      HealthDetailOutput: t.Object({
        version: t.String(),
        agent: t.String(),
        isolation: t.Object({ isolated: t.Boolean(), detail: t.String() }),
        database: t.String(),
        queue: t.String(),
      }),
    })
    .get("/health", () => ({ status: "ok" }), {
      detail: {
        operationId: "handlers_health_health",
        summary: "Is the server there?",
        tags: ["Health"],
        security: [],
      },
      response: { 200: "HealthOutput" },
    })
    .get("/health/detail", () => detail(), {
      detail: {
        operationId: "handlers_health_detail",
        summary: "What runs here, and how well agents are isolated",
        tags: ["Health"],
        security: [],
      },
      response: { 200: "HealthDetailOutput" },
    });
}
