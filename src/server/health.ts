import { Elysia, t } from "elysia";
import { errorReplies, wireModels } from "../api/schemas.ts";
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
  // 403: on loopback, for a Host that is no name of this machine.
  const refusals = errorReplies(403);
  const open = { tags: ["Health"], security: [] };
  return new Elysia()
    .model({
      ...wireModels,
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
    })
    .get("/health", () => ({ status: "ok" }), {
      detail: { ...open, operationId: "handlers_health_health", summary: "Is the server there?" },
      response: { 200: "HealthResponse", ...refusals },
    })
    .get("/health/live", () => ({ status: "ok" }), {
      detail: {
        ...open,
        operationId: "handlers_health_live",
        summary: "Should this process be left running?",
      },
      response: { 200: "HealthResponse", ...refusals },
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
          summary: "May requests be sent here?",
          description: "503 names what is missing: the database, the queue or a task.",
        },
        response: { 200: "HealthResponse", ...refusals, ...errorReplies(503) },
      },
    )
    .get("/health/detail", () => detail(), {
      detail: {
        ...open,
        operationId: "handlers_health_detail",
        summary: "What runs here, and how isolated",
      },
      response: { 200: "HealthDetailOutput", ...refusals },
    });
}
