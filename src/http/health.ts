import { Elysia, t } from "elysia";
import { errorReplies, wireModels } from "../wire.ts";
import type { Readiness } from "./readiness.ts";

export interface HealthDetail {
  version: string;
  agent: string;
  isolation: { isolated: boolean; detail: string };
  database: string;
  queue: string;
}

/** For load balancers and orchestrators, and for people who ask what is running here. Only /health/ready does I/O. */
export function healthRoutes({ detail, ready }: { detail: () => HealthDetail; ready: Readiness }) {
  const open = { tags: ["Health"], security: [] };
  return new Elysia()
    .model({
      ...wireModels,
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
      detail: { ...open, operationId: "handlers_health_health", summary: "Is the server there?" },
      response: { 200: "HealthOutput" },
    })
    .get("/health/live", () => ({ status: "ok" }), {
      detail: {
        ...open,
        operationId: "handlers_health_live",
        summary: "Should this process be left running?",
      },
      response: { 200: "HealthOutput" },
    })
    .get(
      "/health/ready",
      async () => {
        await ready();
        return { status: "ok" };
      },
      {
        detail: {
          ...open,
          operationId: "handlers_health_ready",
          summary: "May requests be sent here? 503 names what is missing: database, queue or a task",
        },
        response: { 200: "HealthOutput", ...errorReplies(503) },
      },
    )
    .get("/health/detail", () => detail(), {
      detail: {
        ...open,
        operationId: "handlers_health_detail",
        summary: "What runs here, and how well agents are isolated",
      },
      response: { 200: "HealthDetailOutput" },
    });
}
